/**
 * A call tree on a canvas. Only the rows in sight are drawn, so that no depth is
 * too deep; what a pointer can do a keyboard can too, and is told in words.
 */

import { cleared } from './canvas.ts';
import { css, type Rgb } from './colour.ts';
import { make } from './dom.ts';
import { fitted, short } from './names.ts';
import { nameOf, type Scene } from './scene.ts';
import { onTheme, theme } from './theme.ts';

/** How a view looks and what it tells. */
export interface ViewOptions<S extends Scene> {
  /** What it is, for who does not see it. */
  label: string;
  /** Roots at the bottom. */
  upward?: boolean;
  short?: boolean;
  colour(scene: S, at: number): Rgb;
  /** What follows the name in a box. */
  suffix?(scene: S, at: number): string;
  /** A box in words, a line for each thing. */
  say(scene: S, at: number): string[];
  /** The whole in words. */
  whole(scene: S): string;
  onSelect?(at: number): void;
  /** A box is to fill the view; -1 is everything there is. */
  onZoom?(at: number): void;
  /** One of the functions above the scene is to fill the view. */
  onPath?(place: number): void;
}

const ROW = 18;
/** Boxes narrower than this have no text. */
const TEXT_WIDTH = 24;
/** Nothing narrower is drawn. */
const LEAST = 0.3;
/** No box: the root of all. */
export const ROOT = -1;

export class FlameView<S extends Scene> {
  readonly host: HTMLElement;
  private readonly canvas = make('canvas');
  private readonly space = make('div', { class: 'flame-space' });
  private readonly tip: HTMLElement;
  private readonly live = make('div', { class: 'unseen', 'aria-live': 'polite' });
  private scene: S | null = null;
  private zoomed = ROOT;
  private selected = ROOT;
  private found: Set<number> | null = null;
  private letter = 7;
  private due = 0;

  constructor(
    place: Element,
    private readonly options: ViewOptions<S>,
  ) {
    this.tip = make('div', { class: 'tip', hidden: true });
    this.host = make('div', { class: 'flame', tabindex: 0, role: 'application', 'aria-label': options.label });
    this.host.append(this.space, this.canvas);
    place.append(this.host, this.live);
    document.body.append(this.tip);
    this.listen();
  }

  /** Draws another scene, whole. */
  show(scene: S): void {
    this.scene = scene;
    this.zoomed = ROOT;
    this.selected = ROOT;
    const height = this.rowCount() * ROW;
    this.space.style.height = `${height}px`;
    // With its border; style says how much of it is shown at once.
    this.host.style.height = `${height + 2}px`;
    this.host.scrollTop = this.options.upward ? this.host.scrollHeight : 0;
    this.draw();
  }

  /** Lets a box fill the width. */
  zoom(at: number): void {
    this.zoomed = at;
    this.select(at);
  }

  get zoomedTo(): number {
    return this.zoomed;
  }

  /** Marks a box, brings it in sight and tells of it. */
  select(at: number): void {
    const scene = this.scene;
    if (!scene) return;
    this.selected = at;
    const top = this.top(at === ROOT ? -1 : scene.depth[at]!);
    if (top < this.host.scrollTop) this.host.scrollTop = top;
    const bottom = top + ROW - this.host.clientHeight;
    if (bottom > this.host.scrollTop) this.host.scrollTop = bottom;
    this.live.textContent = at === ROOT ? this.options.whole(scene) : this.options.say(scene, at).join(', ');
    this.options.onSelect?.(at);
    this.draw();
  }

  /** Lets all boxes but those of some functions fade; `null` fades none. */
  highlight(found: Set<number> | null): void {
    this.found = found;
    this.draw();
  }

  setShort(on: boolean): void {
    this.options.short = on;
    this.draw();
  }

  setUpward(on: boolean): void {
    this.options.upward = on;
    this.host.scrollTop = on ? this.host.scrollHeight : 0;
    this.draw();
  }

  private rowCount(): number {
    const scene = this.scene;
    return scene ? scene.rows.length + scene.path.length + 1 : 1;
  }

  /** The top of a depth's row; -1 is the row of the whole. */
  private top(depth: number): number {
    const row = depth + (depth < 0 ? 0 : this.scene!.path.length) + 1;
    return (this.options.upward ? this.rowCount() - 1 - row : row) * ROW;
  }

  private range(): [number, number] {
    const scene = this.scene!;
    if (this.zoomed === ROOT) return [0, scene.total];
    return [scene.x[this.zoomed]!, scene.width[this.zoomed]!];
  }

  private listen(): void {
    new ResizeObserver(() => this.draw()).observe(this.host);
    onTheme(() => this.draw());
    this.host.addEventListener('scroll', () => this.draw(), { passive: true });
    this.host.addEventListener('pointermove', (event) => this.hover(event));
    this.host.addEventListener('pointerleave', () => (this.tip.hidden = true));
    this.host.addEventListener('click', (event) => this.click(event));
    this.host.addEventListener('keydown', (event) => this.key(event));
    for (const happens of ['focus', 'blur']) this.host.addEventListener(happens, () => this.draw());
  }

  /** What is under a pointer: a box, the root, or a place in the path. */
  private hit(event: MouseEvent): { box: number } | { place: number } | null {
    const scene = this.scene;
    if (!scene) return null;
    const bounds = this.host.getBoundingClientRect();
    const row = Math.floor((event.clientY - bounds.top + this.host.scrollTop) / ROW);
    const level = this.options.upward ? this.rowCount() - 1 - row : row;
    if (level === 0) return { box: ROOT };
    if (level < 0 || level >= this.rowCount()) return null;
    if (level <= scene.path.length) return { place: level - 1 };
    const [from, width] = this.range();
    const x = from + ((event.clientX - bounds.left) / this.host.clientWidth) * width;
    const boxes = scene.rows[level - 1 - scene.path.length]!;
    let [low, high] = [0, boxes.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (scene.x[boxes[middle]!]! <= x) low = middle;
      else high = middle - 1;
    }
    const box = boxes[low];
    if (box === undefined || x < scene.x[box]! || x > scene.x[box]! + scene.width[box]!) return null;
    return { box };
  }

  private hover(event: PointerEvent): void {
    const scene = this.scene;
    const hit = event.pointerType === 'touch' ? null : this.hit(event);
    this.tip.hidden = !hit;
    if (!hit || !scene) return;
    const lines =
      'place' in hit ? [scene.functions.name[scene.path[hit.place]!]!]
      : hit.box === ROOT ? [this.options.whole(scene)]
      : this.options.say(scene, hit.box);
    this.tip.replaceChildren(...lines.map((line) => make('div', {}, line)));
    const right = event.clientX + 14 + this.tip.offsetWidth > innerWidth;
    this.tip.style.left = `${right ? Math.max(4, event.clientX - 14 - this.tip.offsetWidth) : event.clientX + 14}px`;
    this.tip.style.top = `${Math.min(event.clientY + 16, innerHeight - this.tip.offsetHeight - 4)}px`;
  }

  private click(event: MouseEvent): void {
    const hit = this.hit(event);
    if (!hit) return;
    this.tip.hidden = true;
    if ('place' in hit) this.options.onPath?.(hit.place);
    else this.enter(hit.box);
  }

  private enter(at: number): void {
    if (at !== ROOT && this.scene!.func[at]! < 0) at = this.scene!.parent[at]!;
    this.zoom(at);
    this.options.onZoom?.(at);
  }

  private key(event: KeyboardEvent): void {
    const scene = this.scene;
    if (!scene || event.ctrlKey || event.metaKey || event.altKey) return;
    const [deeper, higher] = this.options.upward ? ['ArrowUp', 'ArrowDown'] : ['ArrowDown', 'ArrowUp'];
    const moves: Record<string, () => number> = {
      [deeper!]: () => this.child(),
      [higher!]: () => (this.selected === ROOT ? ROOT : scene.parent[this.selected]!),
      ArrowLeft: () => this.beside(-1),
      ArrowRight: () => this.beside(1),
      Home: () => ROOT,
    };
    const move = moves[event.key];
    if (move) this.select(move());
    else if (event.key === 'Enter') this.enter(this.selected);
    else if (event.key === 'Escape') this.leave();
    else return;
    event.preventDefault();
  }

  /** One step out. */
  private leave(): void {
    const scene = this.scene!;
    if (this.zoomed === ROOT && scene.path.length > 0) this.options.onPath?.(scene.path.length - 2);
    else this.enter(this.zoomed === ROOT ? ROOT : scene.parent[this.zoomed]!);
  }

  private child(): number {
    const scene = this.scene!;
    const depth = this.selected === ROOT ? 0 : scene.depth[this.selected]! + 1;
    let best = this.selected;
    for (const at of scene.rows[depth] ?? []) {
      const mine = this.selected === ROOT || scene.parent[at] === this.selected;
      if (mine && (best === this.selected || scene.width[at]! > scene.width[best]!)) best = at;
    }
    return best;
  }

  private beside(step: number): number {
    const scene = this.scene!;
    if (this.selected === ROOT) return ROOT;
    const row = scene.rows[scene.depth[this.selected]!]!;
    return row[row.indexOf(this.selected) + step] ?? this.selected;
  }

  private draw(): void {
    cancelAnimationFrame(this.due);
    this.due = requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    const scene = this.scene;
    const context = scene && cleared(this.canvas, this.host);
    if (!scene || !context) return;
    const [width, height] = [this.host.clientWidth, this.host.clientHeight];
    this.letter = context.measureText('0').width;
    const scroll = this.host.scrollTop;
    this.bar(context, this.top(-1) - scroll, width, this.options.whole(scene), this.selected === ROOT && document.activeElement === this.host);
    scene.path.forEach((func, place) => {
      const row = this.options.upward ? this.rowCount() - 2 - place : place + 1;
      this.bar(context, row * ROW - scroll, width, this.shown(scene.functions.name[func]!), false);
    });
    scene.rows.forEach((boxes, depth) => {
      const top = this.top(depth) - scroll;
      if (top > -ROW && top < height) this.row(context, scene, boxes, top, width);
    });
  }

  /** A row that is one box. */
  private bar(context: CanvasRenderingContext2D, top: number, width: number, text: string, selected: boolean): void {
    const { grey, ink } = theme();
    context.fillStyle = css(grey);
    context.globalAlpha = 0.6;
    context.fillRect(0, top, width, ROW - 1);
    context.globalAlpha = 1;
    context.fillStyle = ink;
    context.fillText(fitted(text, Math.floor((width - 8) / this.letter)), 4, top + ROW / 2);
    if (selected) this.frame(context, 0, top, width);
  }

  private row(context: CanvasRenderingContext2D, scene: S, boxes: Int32Array, top: number, width: number): void {
    const { grey, ink } = theme();
    const [from, span] = this.range();
    if (span <= 0) return;
    for (const at of boxes) {
      const left = ((scene.x[at]! - from) / span) * width;
      const right = left + (scene.width[at]! / span) * width;
      if (right <= 0 || left >= width || right - left < LEAST) continue;
      const [x, end] = [Math.max(0, left), Math.min(width, right)];
      const above = this.zoomed !== ROOT && scene.depth[at]! < scene.depth[this.zoomed]!;
      const func = scene.func[at]!;
      const faded = above || (this.found !== null && !this.found.has(func));
      context.globalAlpha = faded ? 0.35 : 1;
      context.fillStyle = css(func < 0 ? grey : this.options.colour(scene, at));
      context.fillRect(x, top, Math.max(end - x - 0.6, LEAST), ROW - 1);
      if (end - x >= TEXT_WIDTH) {
        context.globalAlpha = faded ? 0.75 : 1;
        context.fillStyle = ink;
        context.fillText(this.text(scene, at, end - x - 6), x + 3, top + ROW / 2);
      }
      context.globalAlpha = 1;
      if (at === this.selected) this.frame(context, x, top, end - x);
    }
  }

  private frame(context: CanvasRenderingContext2D, x: number, top: number, width: number): void {
    context.strokeStyle = theme().ink;
    context.lineWidth = 2;
    context.strokeRect(x + 1, top + 1, Math.max(width - 2.6, 1), ROW - 3);
  }

  private shown(name: string): string {
    return this.options.short === false ? name : short(name);
  }

  private text(scene: S, at: number, width: number): string {
    const most = Math.floor(width / this.letter);
    const name = this.shown(nameOf(scene, at));
    const suffix = this.options.suffix?.(scene, at) ?? '';
    const whole = `${name}  ${suffix}`;
    return suffix && whole.length <= most ? whole : fitted(name, most);
  }
}
