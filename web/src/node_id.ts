/** What names a box over requests: `NodeId` of `crates/flame/src/tree.rs`. */

import { fnv } from './colour.ts';

/** The id of the box at the end of a path, as 16 hexadecimal digits. */
export function nodeId(path: string[]): string {
  let hash = 0xcbf29ce484222325n;
  for (const name of path) hash = fnv(`${name}\0`, hash);
  return hash.toString(16).padStart(16, '0');
}
