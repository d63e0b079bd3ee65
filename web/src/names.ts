/** Names of functions made short by rule; the full name stays at hand. */

/** The part of a name that tells functions of one program apart. */
export function short(name: string): string {
  if (name.startsWith('[') || name.startsWith('(') || name.startsWith('0x')) return name;
  const made = name.includes('::') ? shortPath(name) : name.includes('/') ? shortSlashes(name) : shortDots(name);
  // A rule that leaves nothing was not made for this name.
  return made || name;
}

/** Rust and C++: generic arguments, hashes and all but the last two parts go. */
function shortPath(name: string): string {
  // `<T as Trait>::method` is a method of T.
  const cast = /^<(.+) as .+>::/.exec(name);
  const plain = cast ? `${cast[1]}${name.slice(cast[0].length - 2)}` : name;
  const bare = withoutNested(plain.replace(/::h[0-9a-f]{16}$/, ''));
  const call = bare.replace(/\(.*\)( const)?$/, '');
  const parts = call.replace(/^[&*\s]*(mut |dyn )?/, '').split('::').filter(Boolean);
  // A closure says nothing without the function it stands in.
  let kept = 2;
  for (let at = parts.length - 1; at > 0 && parts[at]?.startsWith('{'); at -= 1) kept += 1;
  const tail = parts.slice(-kept).join('::');
  // What C++ returns stands before the name.
  return tail.replace(/^.*\s(?=\S+$)/, '');
}

/** Go: the import path's folders and type arguments go. Java with slashes likewise. */
function shortSlashes(name: string): string {
  const bare = name.replace(/\[[^\]]*\]?/g, '[…]').replace(/\[…\]$/, '');
  const before = bare.search(/[([{]/);
  const end = before < 0 ? bare.length : before;
  return bare.slice(bare.lastIndexOf('/', end) + 1);
}

/** Java: the package goes. Go without a path stays whole. */
function shortDots(name: string): string {
  const end = name.search(/[(<$[{]/);
  const head = end < 0 ? name : name.slice(0, end);
  const parts = head.split('.');
  if (parts.length < 3) return name.replace(/\[[^\]]*\]/g, '[…]');
  return parts.slice(-2).join('.') + (end < 0 ? '' : name.slice(end).replace(/[<[(].*/, ''));
}

/** Without what stands between angle brackets. */
function withoutNested(name: string): string {
  let depth = 0;
  let bare = '';
  for (let at = 0; at < name.length; at += 1) {
    const c = name[at]!;
    if (c === '<' && !/operator<*$/.test(bare)) depth += 1;
    else if (c === '>' && depth > 0 && name[at - 1] !== '-') depth -= 1;
    else if (depth === 0) bare += c;
  }
  return bare.replace(/::::/g, '::');
}

/** A name cut in its middle to at most so many characters. */
export function fitted(name: string, most: number): string {
  if (name.length <= most) return name;
  if (most < 3) return '';
  // The end of a name says more than its beginning.
  const head = Math.floor((most - 1) / 3);
  return `${name.slice(0, head)}…${name.slice(name.length - (most - 1 - head))}`;
}
