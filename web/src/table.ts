/** A table that sorts by any of its columns, and shows a part of its rows at first. */

import { button, make } from './dom.ts';

/** A column. */
export interface Column<R> {
  name: string;
  /** What sorts it, and what is shown. */
  value(row: R): number | string;
  text(row: R): string;
  /** Numbers stand to the right, and their largest first. */
  number?: boolean;
  /** Not on narrow screens. */
  wide?: boolean;
  /** A word more, where a pointer rests. */
  title?(row: R): string;
}

export interface TableOptions<R> {
  caption(shown: number, of: number): string;
  columns: Column<R>[];
  /** Which column it is sorted by at first. */
  sortedBy: number;
  /** The first column's cell is a button that does this. */
  onPick(row: R): void;
}

/** Rows shown before somebody asks for more; on a phone the picture stands below them. */
const SHOWN = window.matchMedia('(max-width: 760px)').matches ? 10 : 40;

/** How many more rows are shown then. */
const MORE = 400;

export class Table<R> {
  private rows: R[] = [];
  private sortedBy: number;
  private upward = false;
  private most = SHOWN;
  private readonly caption = make('caption');
  private readonly head = make('tr');
  private readonly body = make('tbody');
  private readonly more = button('', () => this.showMore(), { class: 'more', hidden: true });

  constructor(
    place: Element,
    private readonly options: TableOptions<R>,
  ) {
    this.sortedBy = options.sortedBy;
    const table = make('table', { class: 'top' }, this.caption, make('thead', {}, this.head), this.body);
    place.append(make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Functions' }, table), this.more);
    this.head.append(...options.columns.map((column, at) => this.heading(column, at)));
  }

  /** Shows other rows. */
  show(rows: R[]): void {
    this.rows = rows;
    this.most = SHOWN;
    this.draw();
  }

  private heading(column: Column<R>, at: number): HTMLElement {
    const sort = button(column.name, () => this.sort(at));
    return make('th', { scope: 'col', class: shape(column) }, sort);
  }

  private sort(at: number): void {
    this.upward = this.sortedBy === at && !this.upward;
    this.sortedBy = at;
    this.draw();
  }

  private showMore(): void {
    this.most += MORE;
    this.draw();
  }

  private draw(): void {
    const column = this.options.columns[this.sortedBy]!;
    const order = (this.upward ? 1 : -1) * (column.number ? 1 : -1);
    const rows = [...this.rows].sort((a, b) => order * compare(column.value(a), column.value(b)));
    const shown = rows.slice(0, this.most);
    this.caption.textContent = this.options.caption(shown.length, this.rows.length);
    [...this.head.children].forEach((head, at) => {
      const ascending = this.upward === Boolean(this.options.columns[at]!.number);
      if (at === this.sortedBy) head.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
      else head.removeAttribute('aria-sort');
    });
    this.body.replaceChildren(...shown.map((row) => this.row(row)));
    this.more.hidden = rows.length <= this.most;
    this.more.textContent = `Show ${Math.min(MORE, rows.length - this.most)} more`;
  }

  private row(row: R): HTMLElement {
    const cells = this.options.columns.map((column, at) => {
      const text = column.text(row);
      const title = column.title?.(row) ?? '';
      if (at > 0) return make('td', { class: shape(column), title }, text);
      return make('th', { scope: 'row', class: shape(column) }, button(text, () => this.options.onPick(row), { class: 'name', title }));
    });
    return make('tr', {}, ...cells);
  }
}

function shape<R>(column: Column<R>): string {
  return [column.number ? 'number' : '', column.wide ? 'wide' : ''].join(' ').trim();
}

function compare(a: number | string, b: number | string): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));
}
