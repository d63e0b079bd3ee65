/** The address as the place where a page's state is kept. */

/** A parameter of the page's address. */
export function param(name: string): string {
  return new URL(location.href).searchParams.get(name) ?? '';
}

/** Changes parameters of the address in place; an empty value takes one away. */
export function keep(changes: Record<string, string>): void {
  history.replaceState(null, '', withParams(location.href, changes));
}

/** Goes to the page's address with other parameters. */
export function go(changes: Record<string, string>): void {
  location.assign(withParams(location.href, changes));
}

/** An address with other parameters. */
export function withParams(href: string, changes: Record<string, string>): string {
  const url = new URL(href, location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  return url.href;
}
