/**
 * What a view of a call tree draws: boxes by depth, from one profile or from two
 * side by side.
 */

import type { DiffDocument, FlameDocument, Functions } from './documents.ts';

/** Boxes in depth-first order, a parent before its children. */
export interface Scene {
  /** How many there are. */
  count: number;
  depth: Int32Array;
  /** The parent's place; -1 for roots. */
  parent: Int32Array;
  /** Left edge and width, in what is drawn. */
  x: Float64Array;
  width: Float64Array;
  /** The function, a place in `functions`; -1 is what was cut. */
  func: Int32Array;
  /** Boxes of each depth, from left to right. */
  rows: Int32Array[];
  functions: Functions;
  /** The width of everything. */
  total: number;
  /** Functions above all boxes: the whole of the scene is below them. */
  path: number[];
  truncated: number;
}

/** A scene of one profile, with its values. */
export interface FlameScene extends Scene {
  kind: 'flame';
  /** What ends in each box. */
  own: Float64Array;
  unit: string;
}

/** A scene of two, with the values of both. */
export interface DiffScene extends Scene {
  kind: 'diff';
  base: Float64Array;
  subject: Float64Array;
  /** Of what ends in each box. */
  ownChange: Float64Array;
  sigma: Float64Array;
  scale: [number, number];
  basis: string;
  unit: string;
}

/** The one profile of a document. */
export function flameScene(document: FlameDocument): FlameScene {
  const { depth, function: func, own } = document.nodes;
  const frame = framed(depth, func);
  return {
    ...frame,
    ...placed(frame, summed(frame, own)),
    kind: 'flame',
    own: Float64Array.from(own),
    functions: document.functions,
    total: document.total,
    path: document.path,
    truncated: document.truncated.value,
    unit: document.sample_type.unit,
  };
}

/** Which boxes of a difference are drawn, and how wide. */
export type Drawn = 'union' | 'differential' | 'elided';

/** Both profiles of a document. */
export function diffScene(document: DiffDocument, drawn: Drawn): DiffScene {
  const { depth, function: func, base: ownBase, subject: ownSubject, sigma } = document.nodes;
  const frame = framed(depth, func);
  const base = summed(frame, ownBase);
  const subject = summed(frame, ownSubject);
  const [scaleBase, scaleSubject] = document.scale;
  const own = ownBase.map((value, at) => {
    const before = value * scaleBase;
    const after = ownSubject[at]! * scaleSubject;
    return (
      drawn === 'union' ? Math.max(before, after)
      : drawn === 'differential' ? after
      : subject[at] === 0 ? before : 0
    );
  });
  const width = summed(frame, own);
  let total = 0;
  frame.parent.forEach((parent, at) => {
    if (parent < 0) total += width[at]!;
  });
  return {
    ...frame,
    ...placed(frame, width),
    kind: 'diff',
    base,
    subject,
    ownChange: Float64Array.from(ownSubject, (value, at) => value * scaleSubject - ownBase[at]! * scaleBase),
    sigma: Float64Array.from(sigma),
    scale: document.scale,
    basis: document.basis,
    functions: document.functions,
    total,
    path: document.path,
    truncated: Math.max(document.truncated.base * scaleBase, document.truncated.subject * scaleSubject),
    unit: document.sample_type.unit,
  };
}

type Frame = Pick<Scene, 'count' | 'depth' | 'parent' | 'func' | 'rows'>;

function framed(depths: number[], functions: number[]): Frame {
  const count = depths.length;
  const parent = new Int32Array(count).fill(-1);
  const rows: number[][] = [];
  const open: number[] = [];
  for (let at = 0; at < count; at += 1) {
    const depth = depths[at]!;
    open.length = depth;
    if (depth > 0) parent[at] = open[depth - 1] ?? -1;
    open.push(at);
    (rows[depth] ??= []).push(at);
  }
  return {
    count,
    parent,
    depth: Int32Array.from(depths),
    func: Int32Array.from(functions),
    rows: rows.map((row) => Int32Array.from(row)),
  };
}

/** What is in each box, from what ends in it. */
function summed(frame: Frame, own: number[]): Float64Array {
  const sums = Float64Array.from(own);
  // Children stand behind their parent: from the end, each is known before.
  for (let at = frame.count - 1; at >= 0; at -= 1) {
    const parent = frame.parent[at]!;
    if (parent >= 0) sums[parent]! += sums[at]!;
  }
  return sums;
}

/** Children begin at their parent's left edge, one behind the other. */
function placed(frame: Frame, width: Float64Array): Pick<Scene, 'x' | 'width'> {
  const x = new Float64Array(frame.count);
  const next = new Float64Array(frame.count);
  let root = 0;
  for (let at = 0; at < frame.count; at += 1) {
    const parent = frame.parent[at]!;
    x[at] = parent < 0 ? root : next[parent]!;
    next[at] = x[at]!;
    if (parent < 0) root += width[at]!;
    else next[parent]! += width[at]!;
  }
  return { x, width };
}

/** What a box is called. */
export function nameOf(scene: Scene, at: number): string {
  const func = scene.func[at]!;
  return func < 0 ? 'other' : scene.functions.name[func]!;
}

/** Names from the root down to a box. */
export function pathOf(scene: Scene, at: number): string[] {
  const names: string[] = [];
  for (let node = at; node >= 0; node = scene.parent[node]!) names.push(nameOf(scene, node));
  return [...scene.path.map((func) => scene.functions.name[func]!), ...names.reverse()];
}

/** Whether anything below a box was cut. */
export function isCut(scene: Scene, at: number): boolean {
  for (let node = at + 1; node < scene.count && scene.depth[node]! > scene.depth[at]!; node += 1) {
    if (scene.func[node]! < 0) return true;
  }
  return false;
}

/** Functions whose names a pattern finds. */
export function matching(functions: Functions, pattern: RegExp): Set<number> {
  const found = new Set<number>();
  functions.name.forEach((name, at) => {
    if (pattern.test(name)) found.add(at);
  });
  return found;
}

/** The boxes of some functions, and how wide they are together, each stretch counted once. */
export function boxesOf(scene: Scene, functions: Set<number>): { boxes: number[]; width: number } {
  const boxes: number[] = [];
  let width = 0;
  let until = -1;
  for (let at = 0; at < scene.count; at += 1) {
    if (!functions.has(scene.func[at]!)) continue;
    boxes.push(at);
    if (at > until) {
      width += scene.width[at]!;
      until = at;
      while (until + 1 < scene.count && scene.depth[until + 1]! > scene.depth[at]!) until += 1;
    }
  }
  return { boxes, width };
}
