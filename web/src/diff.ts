/** Two profiles side by side. */

import { ofChange } from './colour.ts';
import { ask, type DiffDocument } from './documents.ts';
import { button, fill, make } from './dom.ts';
import { FlameView, ROOT } from './flame_view.ts';
import { keep, param, withParams } from './link.ts';
import { short } from './names.ts';
import { nodeId } from './node_id.ts';
import { outline } from './outline.ts';
import { percent, quantity } from './quantity.ts';
import { diffScene, type DiffScene, type Drawn, isCut, nameOf, pathOf } from './scene.ts';
import { Search } from './search.ts';
import { Table } from './table.ts';
import { theme } from './theme.ts';

/** A function in the table. */
interface Row {
  func: number;
  base: number;
  subject: number;
  change: number;
  /** Standard deviations of noise in the change; `null` is not known. */
  sigmas: number | null;
}

/** Fewer are within noise. */
const QUIET = 2;
/** Differences of shares below this are none. */
const ROUNDING = 1e-12;

const KINDS = ['all', 'new', 'gone', 'grew', 'shrank'] as const;
type Kind = (typeof KINDS)[number];
const DRAWN: Drawn[] = ['union', 'differential', 'elided'];

export class Diff {
  private readonly status: HTMLElement;
  private readonly source: string;
  private readonly unit: string;
  private readonly view: FlameView<DiffScene>;
  private readonly search: Search;
  private readonly tablePlace = make('div', { class: 'tableplace' });
  private readonly tree = make('details', { class: 'panel' }, make('summary', {}, 'Outline of the heaviest boxes'));
  private readonly treePlace = make('div', { class: 'outline' });
  private table: Table<Row> | null = null;
  private document: DiffDocument | null = null;
  private scene: DiffScene | null = null;
  private strongest = 1;
  private drawn: Drawn = DRAWN.find((word) => word === param('drawn')) ?? 'union';
  private kind: Kind = 'all';
  private quiet = param('quiet') !== 'shown';
  private cum = true;

  constructor(private readonly place: HTMLElement) {
    this.status = place.querySelector<HTMLElement>('.status')!;
    this.source = withParams(place.dataset['src']!, { root: '' });
    this.unit = place.dataset['unit'] ?? '';
    this.search = new Search(
      param('search'),
      (functions, text) => {
        this.view.highlight(functions);
        keep({ search: text });
      },
      (box) => this.view.select(box),
    );
    place.append(make('div', { class: 'toolbar' }, this.search.bar, this.switches()), legend());
    this.view = new FlameView<DiffScene>(place, {
      label: 'Flame graph of both sides. Arrows go from box to box, Enter zooms in, Escape out.',
      colour: (scene, at) => ofChange(this.isQuiet(scene, at) ? 0 : this.changeOf(scene, at) / this.strongest, theme()),
      suffix: (scene, at) => this.changed(scene, at),
      say: (scene, at) => this.say(scene, at),
      whole: (scene) => `all: ${this.compared(scene.kind ? this.totals() : [0, 0])}`,
      onZoom: (at) => void this.zoomed(at),
      onPath: (step) => void this.back(step),
    });
    this.tree.append(this.treePlace);
    this.tree.addEventListener('toggle', () => this.drawOutline());
    place.append(this.tablePlace, this.tree);
    void this.load(param('root'));
  }

  private switches(): HTMLElement {
    const choices = DRAWN.map((word) =>
      button(word, () => {
        this.drawn = word;
        keep({ drawn: word === 'union' ? '' : word });
        choices.forEach((choice) => choice.setAttribute('aria-pressed', String(choice.textContent === word)));
        this.redraw();
      }, { 'aria-pressed': String(word === this.drawn) }),
    );
    return make('div', { class: 'switches' }, ...choices, button('reset zoom', () => void this.back(-1)));
  }

  private async load(root: string): Promise<void> {
    this.status.hidden = false;
    this.status.textContent = 'Reading both sides …';
    try {
      const { document } = await ask<DiffDocument>(withParams(this.source, { root }), 'flambeau-diff');
      this.document = document;
      this.place.dataset['ready'] = 'true';
      this.status.textContent = this.loaded(document);
      this.redraw();
      this.list();
    } catch (error) {
      this.place.dataset['ready'] = 'failed';
      fill(this.status, `The sides could not be compared: ${error instanceof Error ? error.message : String(error)}. `, button('Try again', () => void this.load(root)));
    }
  }

  private loaded(document: DiffDocument): string {
    const [base, subject] = document.total;
    if (base === 0 && subject === 0) return 'There is nothing to draw on either side: what narrows them leaves nothing.';
    const words: string[] = [];
    if (base === 0) words.push('The base is empty: everything is new.');
    if (subject === 0) words.push('The subject is empty: everything is gone.');
    if (!document.spread[0] || !document.spread[1]) {
      words.push('One side has too few snapshots to tell how much it varies; where samples are counted, their number tells the least noise there is.');
    }
    return words.join(' ');
  }

  private redraw(): void {
    if (!this.document) return;
    this.scene = diffScene(this.document, this.drawn);
    const scene = this.scene;
    this.strongest = Number.MIN_VALUE;
    for (let at = 0; at < scene.count; at += 1) {
      if (!this.isQuiet(scene, at)) this.strongest = Math.max(this.strongest, Math.abs(this.changeOf(scene, at)));
    }
    this.view.show(scene);
    this.search.in(scene);
    this.drawOutline();
    this.status.hidden = !this.status.textContent;
    if (scene.total === 0 && this.drawn === 'elided') {
      this.status.hidden = false;
      this.status.textContent = 'Nothing is gone: the subject has every box of the base.';
    }
  }

  private totals(): [number, number] {
    return this.document?.total ?? [0, 0];
  }

  /** How much a box changed, in what is compared. */
  private changeOf(scene: DiffScene, at: number): number {
    if (this.drawn === 'differential') return scene.ownChange[at]!;
    return scene.subject[at]! * scene.scale[1] - scene.base[at]! * scene.scale[0];
  }

  private isQuiet(scene: DiffScene, at: number): boolean {
    const sigma = scene.sigma[at]!;
    const change = scene.subject[at]! * scene.scale[1] - scene.base[at]! * scene.scale[0];
    return sigma >= 0 && Math.abs(change) < QUIET * sigma;
  }

  /** A value of what is compared, in words. */
  private measured(value: number): string {
    const unit = this.unit || this.document!.sample_type.unit;
    switch (this.document!.basis) {
      case 'share':
        return percent(value);
      case 'invocation':
        return `${quantity(value, unit)} each`;
      case 'second':
        return `${quantity(value, unit)} a second`;
      default:
        return quantity(value, unit);
    }
  }

  /** A change with its sign; of shares, in points. */
  private signed(change: number): string {
    // Shares are quotients: what is left of their difference may be no more than rounding.
    const size = this.document!.basis === 'share' && Math.abs(change) < ROUNDING ? 0 : Math.abs(change);
    const text = this.measured(size);
    const sign = size === 0 ? '' : change > 0 ? '+' : '−';
    return `${sign}${this.document!.basis === 'share' ? text.replace(' %', ' points') : text}`;
  }

  private compared([base, subject]: [number, number]): string {
    const [before, after] = [base * this.document!.scale[0], subject * this.document!.scale[1]];
    if (base === 0) return `new, ${this.measured(after)}`;
    if (subject === 0) return `gone, was ${this.measured(before)}`;
    return `${this.signed(after - before)}, ${this.measured(before)} to ${this.measured(after)}`;
  }

  private changed(scene: DiffScene, at: number): string {
    const text = this.compared([scene.base[at]!, scene.subject[at]!]);
    return this.isQuiet(scene, at) ? `${text} (noise)` : text;
  }

  private say(scene: DiffScene, at: number): string[] {
    const lines = [nameOf(scene, at), this.changed(scene, at)];
    const own = scene.ownChange[at]!;
    if (own !== 0) lines.push(`of it itself ${this.signed(own)}`);
    const sigma = scene.sigma[at]!;
    lines.push(sigma < 0 ? 'noise is not known' : `noise ±${this.measured(sigma)}`);
    return lines;
  }

  private async zoomed(at: number): Promise<void> {
    const scene = this.scene!;
    const names = at === ROOT ? scene.path.map((func) => scene.functions.name[func]!) : pathOf(scene, at);
    keep({ root: names.length ? nodeId(names) : '' });
    if (at !== ROOT && isCut(scene, at)) await this.load(nodeId(names));
  }

  private async back(step: number): Promise<void> {
    const scene = this.scene;
    if (!scene) return;
    const names = scene.path.slice(0, step + 1).map((func) => scene.functions.name[func]!);
    const root = names.length ? nodeId(names) : '';
    keep({ root });
    if (scene.path.length > names.length) await this.load(root);
    else this.view.zoom(ROOT);
  }

  private list(): void {
    const document = this.document!;
    if (!this.table) {
      this.tablePlace.append(this.filters());
      this.table = new Table<Row>(this.tablePlace, {
        caption: (shown, of) => `${shown} of ${of} functions that differ most, of ${this.document!.top.of}`,
        sortedBy: 3,
        onPick: (row) => this.find(row.func),
        columns: [
          { name: 'function', value: (row) => this.name(row), text: (row) => short(this.name(row)), title: (row) => this.name(row) },
          { name: 'base', value: (row) => row.base, text: (row) => this.measured(row.base), number: true, wide: true },
          { name: 'subject', value: (row) => row.subject, text: (row) => this.measured(row.subject), number: true, wide: true },
          { name: 'change', value: (row) => Math.abs(row.change), text: (row) => this.changeText(row), number: true },
          { name: 'noise', value: (row) => row.sigmas ?? -1, text: (row) => noiseText(row.sigmas), number: true },
        ],
      });
    }
    const { top, scale } = document;
    const [values, sigmas] = this.cum ? [top.cum, top.cum_sigma] : [top.flat, top.flat_sigma];
    const rows = top.function.map((func, at): Row => {
      const [base, subject] = [values[0][at]! * scale[0], values[1][at]! * scale[1]];
      const sigma = sigmas[at]!;
      const change = subject - base;
      return { func, base, subject, change, sigmas: sigma < 0 ? null : sigma === 0 ? (change === 0 ? 0 : Infinity) : Math.abs(change) / sigma };
    });
    this.table.show(rows.filter((row) => this.isListed(row)));
  }

  private isListed(row: Row): boolean {
    if (row.change === 0) return false;
    if (this.quiet && row.sigmas !== null && row.sigmas < QUIET) return false;
    switch (this.kind) {
      case 'new':
        return row.base === 0;
      case 'gone':
        return row.subject === 0;
      case 'grew':
        return row.change > 0 && row.base > 0;
      case 'shrank':
        return row.change < 0 && row.subject > 0;
      default:
        return true;
    }
  }

  private filters(): HTMLElement {
    const kinds = KINDS.map((kind) =>
      button(kind, () => {
        this.kind = kind;
        kinds.forEach((choice) => choice.setAttribute('aria-pressed', String(choice.textContent === kind)));
        this.list();
      }, { 'aria-pressed': String(kind === this.kind) }),
    );
    const quiet = make('input', { type: 'checkbox', checked: this.quiet });
    quiet.addEventListener('change', () => {
      this.quiet = quiet.checked;
      keep({ quiet: this.quiet ? '' : 'shown' });
      this.list();
    });
    const own = button('with callees', () => {
      this.cum = !this.cum;
      own.textContent = this.cum ? 'with callees' : 'by itself';
      this.list();
    });
    return make('div', { class: 'toolbar' }, make('div', { class: 'switches' }, ...kinds, own), make('label', {}, quiet, 'hide what is within noise'));
  }

  private name(row: Row): string {
    return this.document!.functions.name[row.func]!;
  }

  private changeText(row: Row): string {
    return `${this.signed(row.change)}${row.base === 0 ? ' new' : row.subject === 0 ? ' gone' : ''}`;
  }

  /** Goes to a function's widest box. */
  private find(func: number): void {
    const scene = this.scene!;
    let best = ROOT;
    for (let at = 0; at < scene.count; at += 1) {
      if (scene.func[at] === func && (best === ROOT || scene.width[at]! > scene.width[best]!)) best = at;
    }
    this.view.highlight(new Set([func]));
    if (best !== ROOT) this.view.select(best);
  }

  private drawOutline(): void {
    const scene = this.scene;
    if (!scene || !this.tree.open) return;
    outline(this.treePlace, scene, (at) => `${short(nameOf(scene, at))}, ${this.changed(scene, at)}`, (at) => this.view.zoom(at));
  }
}

function noiseText(sigmas: number | null): string {
  if (sigmas === null) return 'not known';
  if (sigmas === Infinity) return 'none';
  return sigmas < QUIET ? `within (${sigmas.toFixed(1)} σ)` : `${sigmas >= 100 ? '> 100' : sigmas.toFixed(1)} σ`;
}

function legend(): HTMLElement {
  const steps = [-1, -0.5, -0.1, 0, 0.1, 0.5, 1].map((strength) => make('i', { class: 'step', 'data-strength': strength }));
  return make('div', { class: 'legend', 'aria-hidden': 'true' }, 'less ', ...steps, ' more');
}
