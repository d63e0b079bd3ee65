/** The flame graph of one profile, with all that stands around it. */

import { ofPackage } from './colour.ts';
import { ask, type FlameDocument } from './documents.ts';
import { button, fill, make } from './dom.ts';
import { FlameView, ROOT } from './flame_view.ts';
import { go, keep, param, withParams } from './link.ts';
import { short } from './names.ts';
import { nodeId } from './node_id.ts';
import { outline } from './outline.ts';
import { percent, quantity } from './quantity.ts';
import { flameScene, type FlameScene, isCut, nameOf, pathOf } from './scene.ts';
import { Search } from './search.ts';
import { Table } from './table.ts';
import { theme } from './theme.ts';

/** A function in the table. */
interface Row {
  func: number;
  flat: number;
  cum: number;
}

export class Graph {
  private readonly status: HTMLElement;
  private readonly unit: string;
  private readonly source: string;
  private readonly view: FlameView<FlameScene>;
  private readonly search: Search;
  private readonly detail = make('div', { class: 'detail' });
  private readonly around = make('div', { class: 'around' });
  private readonly tree = make('details', { class: 'panel' }, make('summary', {}, 'Outline of the heaviest boxes'));
  private readonly treePlace = make('div', { class: 'outline' });
  private readonly tablePlace = make('div', { class: 'tableplace' });
  private table: Table<Row> | null = null;
  private document: FlameDocument | null = null;
  private scene: FlameScene | null = null;
  private shortNames = param('names') !== 'full';
  private found: Set<number> | null = null;

  constructor(private readonly place: HTMLElement) {
    this.status = place.querySelector<HTMLElement>('.status')!;
    this.unit = place.dataset['unit'] ?? '';
    this.source = withParams(place.dataset['src']!, { root: '' });
    this.search = new Search(
      param('search'),
      (functions, text) => this.show(functions, text),
      (box) => this.view.select(box),
    );
    const bar = make('div', { class: 'toolbar' }, this.search.bar, this.switches());
    place.append(bar);
    this.view = new FlameView<FlameScene>(place, {
      label: 'Flame graph. Arrows go from box to box, Enter zooms in, Escape out, slash searches.',
      upward: param('draw') === 'flame',
      short: this.shortNames,
      colour: (scene, at) => ofPackage(scene.functions.package[scene.func[at]!]!, theme()),
      suffix: (scene, at) => this.amount(scene, scene.width[at]!),
      say: (scene, at) => this.say(scene, at),
      whole: (scene) => (scene.path.length ? `all within: ${this.amount(scene, scene.total)}` : `all: ${this.amount(scene, scene.total)}`),
      onSelect: (at) => this.tell(at),
      onZoom: (at) => void this.zoomed(at),
      onPath: (step) => void this.back(step),
    });
    this.tree.append(this.treePlace);
    this.tree.addEventListener('toggle', () => this.drawOutline());
    place.append(this.detail, this.around, this.tablePlace, this.tree);
    void this.load(param('root'));
  }

  private switches(): HTMLElement {
    const upward = param('draw') === 'flame';
    const turn = button(upward ? 'root below' : 'root on top', () => {
      const up = turn.textContent === 'root on top';
      turn.textContent = up ? 'root below' : 'root on top';
      this.view.setUpward(up);
      keep({ draw: up ? 'flame' : '' });
    });
    const names = button(this.shortNames ? 'names: short' : 'names: full', () => {
      this.shortNames = !this.shortNames;
      names.textContent = this.shortNames ? 'names: short' : 'names: full';
      this.view.setShort(this.shortNames);
      this.list();
      keep({ names: this.shortNames ? '' : 'full' });
    });
    const whole = button('reset zoom', () => void this.back(-1));
    return make('div', { class: 'switches' }, turn, names, whole);
  }

  /** Asks for the tree below a node, or for all of it. */
  private async load(root: string): Promise<void> {
    this.status.hidden = false;
    this.status.textContent = root ? 'Loading what is below …' : 'Loading the flame graph …';
    try {
      const { document, said } = await ask<FlameDocument>(withParams(this.source, { root }), 'flambeau-flame');
      this.document = document;
      this.scene = flameScene(document);
      this.place.dataset['ready'] = 'true';
      this.status.textContent = this.loaded(document, said);
      this.status.hidden = !this.status.textContent;
      this.view.show(this.scene);
      this.search.in(this.scene);
      this.list();
      this.drawOutline();
      fill(this.detail);
      const middle = param('around');
      if (middle) void this.showAround(middle);
    } catch (error) {
      this.place.dataset['ready'] = 'failed';
      this.status.hidden = false;
      fill(this.status, `The flame graph could not be drawn: ${error instanceof Error ? error.message : String(error)}. `, button('Try again', () => void this.load(root)));
    }
  }

  /** What has to be said of an answer, if anything. */
  private loaded(document: FlameDocument, said: string): string {
    const unmatched = [...said.matchAll(/(\w+) matched nothing/g)].map((match) => match[1]!);
    if (document.nodes.depth.length === 0) {
      if (unmatched.length) return `Nothing is left: ${unmatched.join(', ')} matched nothing. Take it away above.`;
      return 'There is nothing to draw: no value is above zero. What narrows this stands above.';
    }
    const words: string[] = [];
    if (document.whole_of) words.push(`Shares are of ${quantity(document.whole, this.unit)}: all that was ${document.whole_of}.`);
    if (unmatched.length) words.push(`${unmatched.join(', ')} matched nothing.`);
    const price = /samples without a label memory have no price/.exec(said);
    if (price) words.push('Samples without a label memory have no price and are left out; add memory=MB to the address to give them one.');
    if (document.truncated.value > 0 && document.total > 0) {
      words.push(`${document.truncated.nodes} boxes that are ${percent(document.truncated.value / document.total)} together stand as “other”; zooming in brings them.`);
    }
    return words.join(' ');
  }

  private amount(scene: FlameScene, value: number): string {
    const whole = this.document?.whole ?? scene.total;
    return `${quantity(value, this.unit || scene.unit)} ${percent(whole > 0 ? value / whole : 0)}`;
  }

  private say(scene: FlameScene, at: number): string[] {
    const func = scene.func[at]!;
    const lines = [nameOf(scene, at), `total ${this.amount(scene, scene.width[at]!)}`];
    if (func < 0) return ['other: boxes too small to send', lines[1]!, 'zoom in to see them'];
    lines.push(`self ${this.amount(scene, scene.own[at]!)}`);
    const { file, line, inlined } = scene.functions;
    if (file[func]) lines.push(line[func] ? `${file[func]}:${line[func]}` : file[func]!);
    if (inlined[func]) lines.push(inlined[func] === 2 ? 'inlined' : 'inlined in places');
    return lines;
  }

  private async zoomed(at: number): Promise<void> {
    const scene = this.scene!;
    const root = at === ROOT ? nodeId(scene.path.map((func) => scene.functions.name[func]!)) : nodeId(pathOf(scene, at));
    keep({ root: at === ROOT && scene.path.length === 0 ? '' : root });
    // What was cut below comes in full now.
    if (at !== ROOT && isCut(scene, at)) await this.load(root);
  }

  /** Out to a function above the scene; -1 is the whole. */
  private async back(step: number): Promise<void> {
    const scene = this.scene;
    if (!scene) return;
    const names = scene.path.slice(0, step + 1).map((func) => scene.functions.name[func]!);
    const root = names.length ? nodeId(names) : '';
    keep({ root });
    if (scene.path.length > names.length) await this.load(root);
    else this.view.zoom(ROOT);
  }

  private show(functions: Set<number> | null, text: string): void {
    this.found = functions;
    this.view.highlight(functions);
    keep({ search: text });
    this.list();
  }

  private tell(at: number): void {
    const scene = this.scene!;
    if (at === ROOT || scene.func[at]! < 0) return fill(this.detail);
    const name = nameOf(scene, at);
    const exact = `^${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`;
    fill(
      this.detail,
      make('code', {}, name),
      make('span', {}, this.say(scene, at).slice(1).join(' · ')),
      make(
        'span',
        { class: 'acts' },
        button('callers and callees', () => void this.showAround(name)),
        button('focus', () => go({ f: exact, root: '' })),
        button('hide', () => go({ h: exact, root: '' })),
      ),
    );
  }

  private list(): void {
    const top = this.document?.top;
    const functions = this.document?.functions;
    if (!top || !functions || !this.document) return;
    const total = this.document.whole;
    const unit = this.unit || this.document.sample_type.unit;
    const name = (row: Row): string => functions.name[row.func]!;
    this.table ??= new Table<Row>(this.tablePlace, {
      caption: (shown, of) => `${shown} of ${of} functions${of < top.of ? ` (the heaviest of ${top.of})` : ''}`,
      sortedBy: 2,
      onPick: (row) => void this.showAround(this.document!.functions.name[row.func]!),
      columns: [
        { name: 'function', value: (row) => this.label(row), text: (row) => this.label(row), title: (row) => this.document!.functions.name[row.func]! },
        { name: 'package', value: (row) => this.document!.functions.package[row.func]!, text: (row) => this.document!.functions.package[row.func]!, wide: true },
        { name: 'self', value: (row) => row.flat, text: (row) => quantity(row.flat, unit), number: true },
        { name: 'self %', value: (row) => row.flat, text: (row) => percent(row.flat / total), number: true, wide: true },
        { name: 'total', value: (row) => row.cum, text: (row) => quantity(row.cum, unit), number: true },
        { name: 'total %', value: (row) => row.cum, text: (row) => percent(row.cum / total), number: true, wide: true },
      ],
    });
    const rows = top.function.map((func, at) => ({ func, flat: top.flat[at]!, cum: top.cum[at]! }));
    const pattern = this.found;
    this.table.show(pattern ? rows.filter((row) => pattern.has(row.func) || !name(row)) : rows);
  }

  private label(row: Row): string {
    const name = this.document!.functions.name[row.func]!;
    return this.shortNames ? short(name) : name;
  }

  private drawOutline(): void {
    const scene = this.scene;
    if (!scene || !this.tree.open) return;
    outline(this.treePlace, scene, (at) => `${short(nameOf(scene, at))}, ${this.amount(scene, scene.width[at]!)}`, (at) => {
      this.view.zoom(at);
      void this.zoomed(at);
    });
  }

  /** Who calls a function, and whom it calls. */
  private async showAround(name: string): Promise<void> {
    keep({ around: name });
    const close = button('close', () => {
      keep({ around: '' });
      fill(this.around);
    });
    const callers = make('section', { class: 'side' }, make('h3', {}, 'Callers'));
    const callees = make('section', { class: 'side' }, make('h3', {}, 'Callees'));
    fill(this.around, make('h2', {}, make('code', {}, name), ' ', close), callers, callees);
    this.around.scrollIntoView({ block: 'nearest' });
    await Promise.all([this.sideView(callers, name, 'callers'), this.sideView(callees, name, 'callees')]);
  }

  private async sideView(place: HTMLElement, name: string, side: string): Promise<void> {
    const wait = make('p', { class: 'status', role: 'status' }, 'Loading …');
    place.append(wait);
    try {
      const { document } = await ask<FlameDocument>(withParams(this.source, { around: name, side, top: '' }), 'flambeau-flame');
      wait.remove();
      const view = new FlameView<FlameScene>(place, {
        label: `${side} of ${name}`,
        upward: side === 'callers',
        short: this.shortNames,
        colour: (scene, at) => ofPackage(scene.functions.package[scene.func[at]!]!, theme()),
        suffix: (scene, at) => this.amount(scene, scene.width[at]!),
        say: (scene, at) => this.say(scene, at).slice(0, side === 'callers' ? 2 : 3),
        whole: (scene) => `${short(name)}: ${this.amount(scene, scene.total)}`,
      });
      view.show(flameScene(document));
    } catch (error) {
      wait.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
