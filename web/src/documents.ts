/** What the server sends, as it is written in `crates/flame`. */

export interface Functions {
  name: string[];
  file: string[];
  line: number[];
  package: string[];
  inlined: number[];
}

export interface FlameDocument {
  format: 'flambeau-flame';
  version: number;
  sample_type: { type: string; unit: string };
  /** Of what is below `path`. */
  total: number;
  /** Of everything, or of what that is a part of. */
  whole: number;
  whole_of?: string;
  path: number[];
  functions: Functions;
  /** `own` is what ends in a node. */
  nodes: { depth: number[]; function: number[]; own: number[] };
  top?: { of: number; function: number[]; flat: number[]; cum: number[] };
  truncated: { nodes: number; value: number };
}

export interface DiffDocument {
  format: 'flambeau-diff';
  version: number;
  sample_type: { type: string; unit: string };
  basis: string;
  scale: [number, number];
  total: [number, number];
  spread: [boolean, boolean];
  path: number[];
  functions: Functions;
  /** `base` and `subject` are what ends in a node. */
  nodes: { depth: number[]; function: number[]; base: number[]; subject: number[]; sigma: number[] };
  top: {
    of: number;
    function: number[];
    flat: [number[], number[]];
    cum: [number[], number[]];
    flat_sigma: number[];
    cum_sigma: number[];
  };
  truncated: { nodes: number; base: number; subject: number };
}

export interface HeatDocument {
  format: 'flambeau-heatmap';
  version: number;
  across: 'second' | 'time' | 'invocation';
  start: number;
  step: number;
  columns: number;
  sample_type: string;
  unit: string;
  rows: string[];
  cells: number[][];
  max: number;
  folded: number;
  trace?: { origin: number; nanos: number; samples: number };
}

/** A document, and what the answer says of itself. */
export interface Answer<D> {
  document: D;
  said: string;
}

/** A reader refuses what is newer than itself. */
const VERSION = 1;

/** Asks for a document; what goes wrong is said in words that help. */
export async function ask<D extends { format: string; version: number }>(url: string, format: D['format']): Promise<Answer<D>> {
  const response = await fetch(url, { headers: { accept: 'application/json' } });
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const detail = (body as { detail?: string } | null)?.detail;
    throw new Error(detail ?? `the server answered ${response.status}`);
  }
  const document = body as D | null;
  if (document?.format !== format || document.version > VERSION) {
    throw new Error('the server sent what this page does not know; reload the page');
  }
  return { document, said: response.headers.get('x-flambeau-answered') ?? '' };
}
