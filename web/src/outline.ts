/** The heaviest boxes of a scene as a tree of words: the canvas for who listens. */

import { make } from './dom.ts';
import type { Scene } from './scene.ts';

/** Boxes in an outline. */
const MOST = 200;

/** Fills `place` with the outline; `say` tells of a box, `pick` goes to it. */
export function outline(place: Element, scene: Scene, say: (at: number) => string, pick: (at: number) => void): void {
  const order = [...scene.width.keys()].filter((at) => scene.func[at]! >= 0);
  order.sort((a, b) => scene.width[b]! - scene.width[a]! || a - b);
  const kept = new Set(order.slice(0, MOST));
  const root = make('ul', { role: 'tree', 'aria-label': `The ${kept.size} heaviest of ${scene.count} boxes` });
  const open: { depth: number; list: HTMLElement }[] = [{ depth: -1, list: root }];
  for (let at = 0; at < scene.count; at += 1) {
    if (!kept.has(at)) continue;
    while (open[open.length - 1]!.depth >= scene.depth[at]!) open.pop();
    const list = open[open.length - 1]!.list;
    const word = make('span', {}, say(at));
    const item = make('li', { role: 'treeitem', tabindex: -1, 'aria-level': open.length }, word);
    item.addEventListener('click', (event) => {
      event.stopPropagation();
      pick(at);
    });
    item.addEventListener('pick', () => pick(at));
    const below = make('ul', { role: 'group' });
    item.append(below);
    list.append(item);
    open.push({ depth: scene.depth[at]!, list: below });
  }
  root.querySelectorAll('ul:empty').forEach((list) => list.remove());
  root.querySelectorAll('[role=treeitem]').forEach((item) => {
    if (item.querySelector('ul')) item.setAttribute('aria-expanded', 'true');
  });
  root.querySelector('[role=treeitem]')?.setAttribute('tabindex', '0');
  root.addEventListener('keydown', (event) => walk(root, event));
  place.replaceChildren(root);
}

/** Arrows go through a tree as ARIA's authors have it. */
function walk(root: HTMLElement, event: KeyboardEvent): void {
  const items = [...root.querySelectorAll<HTMLElement>('[role=treeitem]')].filter((item) => item.offsetParent !== null);
  const at = items.indexOf(document.activeElement as HTMLElement);
  const item = items[at];
  if (!item) return;
  const open = item.getAttribute('aria-expanded');
  const parent = item.parentElement?.closest<HTMLElement>('[role=treeitem]');
  const to =
    event.key === 'ArrowDown' ? items[at + 1]
    : event.key === 'ArrowUp' ? items[at - 1]
    : event.key === 'Home' ? items[0]
    : event.key === 'End' ? items[items.length - 1]
    : event.key === 'ArrowRight' && open === 'true' ? items[at + 1]
    : event.key === 'ArrowLeft' && open !== 'true' ? parent
    : undefined;
  if (to) {
    item.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  } else if (event.key === 'ArrowRight' && open === 'false') item.setAttribute('aria-expanded', 'true');
  else if (event.key === 'ArrowLeft' && open === 'true') item.setAttribute('aria-expanded', 'false');
  else if (event.key === 'Enter') item.dispatchEvent(new Event('pick'));
  else return;
  event.preventDefault();
}
