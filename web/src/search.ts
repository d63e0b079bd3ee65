/** A field that finds functions by a pattern, and steps through what it found. */

import { button, make, settled } from './dom.ts';
import { percent } from './quantity.ts';
import { boxesOf, matching, type Scene } from './scene.ts';

export interface Searched {
  functions: Set<number> | null;
}

export class Search {
  readonly bar: HTMLElement;
  private readonly field = make('input', {
    type: 'search',
    placeholder: 'search (regex)',
    'aria-label': 'Search functions by a regular expression',
    spellcheck: 'false',
    autocomplete: 'off',
  });
  private readonly said = make('output', { class: 'found' });
  private boxes: number[] = [];
  private at = -1;
  private scene: Scene | null = null;

  constructor(
    text: string,
    private readonly onFound: (functions: Set<number> | null, text: string) => void,
    private readonly onStep: (box: number) => void,
  ) {
    this.field.value = text;
    const next = button('next', () => this.step(1), { 'aria-keyshortcuts': 'n' });
    const before = button('previous', () => this.step(-1), { 'aria-keyshortcuts': 'Shift+n' });
    this.bar = make('div', { class: 'search', role: 'search' }, this.field, before, next, this.said);
    this.field.addEventListener('input', settled(() => this.run(), 120));
    this.field.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') this.step(event.shiftKey ? -1 : 1);
    });
    document.addEventListener('keydown', (event) => this.key(event));
  }

  /** Looks through another scene for the same. */
  in(scene: Scene): void {
    this.scene = scene;
    this.run();
  }

  private run(): void {
    const scene = this.scene;
    const text = this.field.value;
    if (!scene) return;
    this.field.removeAttribute('aria-invalid');
    this.boxes = [];
    this.at = -1;
    if (!text) {
      this.said.textContent = '';
      this.onFound(null, '');
      return;
    }
    let pattern: RegExp;
    try {
      pattern = new RegExp(text, 'i');
    } catch (error) {
      this.field.setAttribute('aria-invalid', 'true');
      this.said.textContent = error instanceof Error ? error.message : 'no regular expression';
      return;
    }
    const functions = matching(scene.functions, pattern);
    const { boxes, width } = boxesOf(scene, functions);
    this.boxes = boxes.sort((a, b) => scene.width[b]! - scene.width[a]!);
    // What was cut cannot be looked through.
    const least = scene.truncated > 0 ? 'at least ' : '';
    this.said.textContent = `${functions.size} functions, ${boxes.length} boxes, ${least}${percent(scene.total > 0 ? width / scene.total : 0)}`;
    this.onFound(functions, text);
  }

  private step(by: number): void {
    if (this.boxes.length === 0) return;
    this.at = (this.at + by + this.boxes.length) % this.boxes.length;
    this.onStep(this.boxes[this.at]!);
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) return;
    if (event.key === '/') this.field.focus();
    else if (event.key === 'n') this.step(1);
    else if (event.key === 'N') this.step(-1);
    else return;
    event.preventDefault();
  }
}
