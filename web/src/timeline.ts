/** A brush over a chart: what is brushed becomes the range that is looked at. */

import { go, param } from './link.ts';

const SVG = 'http://www.w3.org/2000/svg';
/** A shorter brush is a click that missed. */
const LEAST = 4;

export function startBrush(figure: HTMLElement): void {
  const svg = figure.querySelector('svg');
  const kind = figure.dataset['chart'] ?? '';
  if (!svg) return;
  const [from, until, step] = ['from', 'until', 'step'].map((name) => Number(figure.dataset[name])) as [number, number, number];
  const columns = svg.viewBox.baseVal.width;
  const brush = document.createElementNS(SVG, 'rect');
  brush.setAttribute('class', 'lens');
  brush.setAttribute('height', '100');
  let start: number | null = null;
  const share = (event: PointerEvent): number => {
    const bounds = svg.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - bounds.left) / bounds.width));
  };
  const draw = (a: number, b: number): void => {
    brush.setAttribute('x', String(Math.min(a, b) * columns));
    brush.setAttribute('width', String(Math.abs(a - b) * columns));
  };
  svg.classList.add('brushable');
  svg.addEventListener('pointerdown', (event) => {
    start = share(event);
    svg.setPointerCapture(event.pointerId);
    svg.append(brush);
    draw(start, start);
  });
  svg.addEventListener('pointermove', (event) => {
    if (start !== null) draw(start, share(event));
  });
  svg.addEventListener('pointerup', (event) => {
    if (start === null) return;
    const end = share(event);
    const wide = Math.abs(end - start) * svg.getBoundingClientRect().width;
    const [a, b] = [Math.min(start, end), Math.max(start, end)];
    start = null;
    if (wide < LEAST) return brush.remove();
    const at = (part: number): number => from + part * (until - from);
    // Whole bars: that is what was seen.
    const first = Math.floor((at(a) - from) / step) * step + from;
    const last = Math.ceil((at(b) - from) / step) * step + from;
    leave(kind, first, last, from, until);
  });
  svg.addEventListener('pointercancel', () => {
    start = null;
    brush.remove();
  });
}

function leave(kind: string, first: number, last: number, from: number, until: number): void {
  const range = [new Date(first).toISOString(), new Date(last).toISOString()] as const;
  if (kind === 'a' || kind === 'b') {
    go({ [`${kind}.from`]: range[0], [`${kind}.until`]: range[1], root: '' });
    return;
  }
  // The chart stays as wide as it was.
  const outer = { tfrom: param('tfrom') || new Date(from).toISOString(), tuntil: param('tuntil') || new Date(until).toISOString() };
  go({ from: range[0], until: range[1], seconds: '', root: '', pin: '', ...outer });
}
