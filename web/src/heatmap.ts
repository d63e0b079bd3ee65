/** Heat maps: cells on a canvas, two of them chosen are a range. */

import { cleared } from './canvas.ts';
import { css, ofHeat } from './colour.ts';
import { ask, type HeatDocument } from './documents.ts';
import { button, fill, make } from './dom.ts';
import { go } from './link.ts';
import { quantity } from './quantity.ts';
import { onTheme, theme } from './theme.ts';

/** Where a cell is. */
interface Cell {
  row: number;
  column: number;
}

/** Room for the names of rows. */
const NAMES = 150;

export class HeatMap {
  private readonly status: HTMLElement;
  private readonly kind: string;
  private readonly canvas = make('canvas');
  private readonly frame = make('div', { class: 'cells', tabindex: 0, role: 'application', 'aria-label': 'Heat map. Arrows go from cell to cell, Enter chooses the first and the last of a range.' });
  private readonly said = make('p', { class: 'summary', 'aria-live': 'polite' });
  private readonly sums = make('details', { class: 'panel' }, make('summary', {}, 'The rows as a table'));
  private document: HeatDocument | null = null;
  private at: Cell = { row: 0, column: 0 };
  private chosen: Cell | null = null;

  constructor(private readonly place: HTMLElement) {
    this.status = place.querySelector<HTMLElement>('.status')!;
    this.kind = place.dataset['heat'] ?? 'fleet';
    this.frame.append(this.canvas);
    place.append(this.frame, this.said, this.sums);
    new ResizeObserver(() => this.paint()).observe(this.frame);
    onTheme(() => this.paint());
    this.frame.addEventListener('pointermove', (event) => this.move(this.hit(event)));
    this.frame.addEventListener('click', (event) => this.choose(this.hit(event)));
    this.frame.addEventListener('keydown', (event) => this.key(event));
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      const { document } = await ask<HeatDocument>(this.place.dataset['src']!, 'flambeau-heatmap');
      this.document = document;
      this.place.dataset['ready'] = 'true';
      this.status.hidden = true;
      this.frame.style.height = `${document.rows.length * this.rowHeight() + 20}px`;
      this.paint();
      this.tell();
      this.list();
    } catch (error) {
      this.place.dataset['ready'] = 'failed';
      fill(this.status, `The heat map could not be drawn: ${error instanceof Error ? error.message : String(error)}. `, button('Try again', () => void this.load()));
    }
  }

  private rowHeight(): number {
    if (!this.document || this.document.across !== 'second') return 20;
    return Math.max(3, Math.min(20, Math.round(500 / this.document.rows.length)));
  }

  private names(): number {
    return Math.min(NAMES, Math.round(this.frame.clientWidth * 0.3));
  }

  private columnWidth(): number {
    return (this.frame.clientWidth - this.names()) / Math.max(1, this.document!.columns);
  }

  private hit(event: MouseEvent): Cell | null {
    const document = this.document;
    if (!document) return null;
    const bounds = this.frame.getBoundingClientRect();
    const column = Math.floor((event.clientX - bounds.left - this.names()) / this.columnWidth());
    const row = Math.floor((event.clientY - bounds.top) / this.rowHeight());
    const inside = column >= 0 && column < document.columns && row >= 0 && row < document.rows.length;
    return inside ? { row, column } : null;
  }

  private move(cell: Cell | null): void {
    if (!cell || (cell.row === this.at.row && cell.column === this.at.column)) return;
    this.at = cell;
    this.tell();
    this.paint();
  }

  private key(event: KeyboardEvent): void {
    const document = this.document;
    const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (!document) return;
    if (step) {
      const row = Math.min(document.rows.length - 1, Math.max(0, this.at.row + step[0]));
      const column = Math.min(document.columns - 1, Math.max(0, this.at.column + step[1]));
      this.move({ row, column });
    } else if (event.key === 'Enter') this.choose(this.at);
    else if (event.key === 'Escape') this.chosen = null;
    else return;
    this.paint();
    event.preventDefault();
  }

  /** The first choice begins a range, the second ends it and goes there. */
  private choose(cell: Cell | null): void {
    if (!cell || !this.document) return;
    if (!this.chosen) {
      this.chosen = cell;
      this.tell();
      this.paint();
      return;
    }
    const [first, last] = [this.chosen, cell].sort((a, b) => this.moment(a) - this.moment(b)) as [Cell, Cell];
    this.chosen = null;
    this.leave(first, last);
  }

  /** Where a cell begins, in the unit that ranges are asked in. */
  private moment({ row, column }: Cell): number {
    const { across, start, step, rows, trace } = this.document!;
    if (across !== 'second') return start + column * step;
    const part = Math.round((row * 1e9) / rows.length);
    return (trace?.origin ?? 0) + column * 1e9 + part;
  }

  private leave(first: Cell, last: Cell): void {
    const { across, step, rows } = this.document!;
    const from = this.moment(first);
    switch (across) {
      case 'second':
        return go({ t0: String(from), t1: String(this.moment(last) + Math.round(1e9 / rows.length)), root: '' });
      case 'invocation':
        return go({ tf: `invocation_ms=${from}ms:${this.moment(last) + step - 1}ms`, view: '', root: '' });
      default:
        return go({ from: String(from), until: String(this.moment(last) + step), view: '', root: '' });
    }
  }

  private label({ row, column }: Cell): string {
    const { across, start, step, rows } = this.document!;
    if (across === 'second') return `second ${column}, ${rows[row]}`;
    if (across === 'invocation') return `${column * step} to ${(column + 1) * step} ms, ${rows[row]}`;
    return `${new Date(start + column * step).toISOString().slice(0, 16).replace('T', ' ')} UTC, ${rows[row]}`;
  }

  private tell(): void {
    const document = this.document!;
    if (document.rows.length === 0) {
      this.said.textContent = 'There is nothing to draw.';
      return;
    }
    const value = document.cells[this.at.row]?.[this.at.column] ?? 0;
    const chosen = this.chosen ? ' Choose another cell: the range between them opens.' : ' Choose two cells to look at what lies between them.';
    this.said.textContent = `${this.label(this.at)}: ${quantity(value, document.unit)}${document.unit === 'count' ? ` ${document.sample_type}` : ''}.${chosen}`;
  }

  private paint(): void {
    const document = this.document;
    const context = document && cleared(this.canvas, this.frame);
    if (!document || !context) return;
    const [names, wide, tall] = [this.names(), this.columnWidth(), this.rowHeight()];
    const { ink } = theme();
    const every = document.across === 'second' ? Math.max(1, Math.round(40 / tall)) : 1;
    document.rows.forEach((name, row) => {
      if (row % every === 0) {
        context.fillStyle = ink;
        // The first of many narrow rows would lose its upper half.
        context.fillText(name.slice(0, Math.floor((names - 8) / 7.3)), 2, Math.max(7, row * tall + tall / 2));
      }
      document.cells[row]!.forEach((value, column) => {
        context.fillStyle = css(ofHeat(document.max > 0 ? value / document.max : 0, theme()));
        context.fillRect(names + column * wide, row * tall, Math.max(wide - (wide > 6 ? 0.6 : 0), 0.5), tall - (tall > 8 ? 1 : 0));
      });
    });
    this.axis(context, names, wide, document.rows.length * tall + 11);
    for (const cell of [this.at, this.chosen]) {
      if (!cell) continue;
      context.strokeStyle = ink;
      context.lineWidth = cell === this.chosen ? 2.5 : 1.2;
      context.strokeRect(names + cell.column * wide, cell.row * tall, Math.max(wide, 2), tall);
    }
  }

  private axis(context: CanvasRenderingContext2D, left: number, wide: number, y: number): void {
    const { across, start, step, columns } = this.document!;
    context.fillStyle = theme().ink;
    const every = Math.max(1, Math.ceil(90 / wide));
    for (let column = 0; column < columns; column += every) {
      const at = start + column * step;
      const text =
        across === 'second' ? `${column} s`
        : across === 'invocation' ? `${at} ms`
        : new Date(at).toISOString().slice(step >= 86_400_000 ? 5 : 11, step >= 86_400_000 ? 10 : 16);
      context.fillText(text, left + column * wide, y);
    }
  }

  /** The same in words: how much each row is. */
  private list(): void {
    const document = this.document!;
    const rows = document.rows.map((name, row) => {
      const cells = document.cells[row]!;
      const sum = cells.reduce((all, value) => all + value, 0);
      const most = cells.indexOf(Math.max(...cells));
      return make('tr', {}, make('th', { scope: 'row' }, name), make('td', { class: 'number' }, quantity(sum, document.unit)), make('td', {}, this.label({ row, column: most })));
    });
    const head = make('tr', {}, ...['row', 'sum', 'most at'].map((name) => make('th', { scope: 'col' }, name)));
    const table = make('table', { class: 'top' }, make('caption', {}, `${rows.length} rows, ${document.columns} columns of ${document.step}`), make('thead', {}, head), make('tbody', {}, ...rows));
    this.sums.append(make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Rows of the heat map' }, table));
    this.place.dataset['kind'] = this.kind;
  }
}
