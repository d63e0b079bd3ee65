/** Light or dark: what the system says, unless somebody chose. */

import { DARK, LIGHT, type Theme } from './colour.ts';

const KEY = 'flambeau-theme';
const query = matchMedia('(prefers-color-scheme: dark)');
const listeners: (() => void)[] = [];

function chosen(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** The theme now. */
export function theme(): Theme {
  const choice = document.documentElement.dataset['theme'];
  return (choice ? choice === 'dark' : query.matches) ? DARK : LIGHT;
}

/** Calls when the theme changes. */
export function onTheme(listener: () => void): void {
  listeners.push(listener);
}

function show(choice: string | null): void {
  if (choice) document.documentElement.dataset['theme'] = choice;
  else delete document.documentElement.dataset['theme'];
  listeners.forEach((listener) => listener());
}

/** Lets the button switch, and follows the system until it is pressed. */
export function startTheme(): void {
  show(chosen());
  query.addEventListener('change', () => show(chosen()));
  const switcher = document.getElementById('theme');
  if (!switcher) return;
  switcher.hidden = false;
  switcher.addEventListener('click', () => {
    const choice = theme().dark ? 'light' : 'dark';
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // A browser that keeps nothing still shows it.
    }
    show(choice);
  });
}
