/** Values as people read them; `functions/render/src/quantity.rs` does the same. */

const NANOS: Record<string, number> = {
  nanoseconds: 1,
  nanosecond: 1,
  ns: 1,
  microseconds: 1e3,
  milliseconds: 1e6,
  ms: 1e6,
  seconds: 1e9,
  s: 1e9,
};

/** A value of a unit, with three digits that matter: `184 s`, `2.07 MB`, `$0.0131`. */
export function quantity(value: number, unit: string): string {
  const nanos = NANOS[unit];
  if (nanos !== undefined) return time(value * nanos);
  if (unit === 'bytes') return scaled(value, ['B', 'KB', 'MB', 'GB', 'TB', 'PB'], 1024);
  if (unit === 'picodollars') return dollars(value / 1e12);
  return scaled(value, ['', 'k', 'M', 'G', 'T', 'P'], 1000);
}

/** A share as per cent, with what digits it needs. */
export function percent(share: number): string {
  const value = share * 100;
  if (!Number.isFinite(value)) return '';
  return `${Math.abs(value) >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 0.1 ? 1 : 2)} %`;
}

function time(nanos: number): string {
  const size = Math.abs(nanos);
  const [unit, per] =
    size < 1e3 ? ['ns', 1] as const
    : size < 1e6 ? ['µs', 1e3] as const
    : size < 1e9 ? ['ms', 1e6] as const
    : size < 120e9 ? ['s', 1e9] as const
    : size < 7200e9 ? ['min', 60e9] as const
    : ['h', 3600e9] as const;
  return `${threeDigits(nanos / per)} ${unit}`;
}

function dollars(value: number): string {
  const size = Math.abs(value);
  const sign = value < 0 ? '-' : '';
  if (size === 0) return '$0';
  // Sums are compared down a column: one way of writing for all but the very small.
  return `${sign}$${size < 1e-6 || size >= 0.01 ? threeDigits(size) : decimals(size)}`;
}

function scaled(value: number, units: string[], step: number): string {
  let at = 0;
  // What would be written as a whole step belongs to the next unit.
  while (Math.abs(value) >= step * 0.9995 && at + 1 < units.length) {
    value /= step;
    at += 1;
  }
  const unit = units[at];
  return unit ? `${threeDigits(value)} ${unit}` : threeDigits(value);
}

/** Three digits that matter; whole numbers stay whole. */
function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95 || Number.isInteger(value)) return value.toFixed(0);
  if (size < 0.01) return value.toExponential(2);
  return decimals(value);
}

function decimals(value: number): string {
  const text = value.toFixed(2 - Math.floor(Math.log10(Math.abs(value))));
  return text.replace(/0+$/, '').replace(/\.$/, '');
}
