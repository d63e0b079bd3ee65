/** Colours that follow packages: the hues of the server's pictures, in two themes. */

export type Rgb = [number, number, number];

/** Hues told apart; `crates/flame/src/colour.rs` has the same. */
const HUES = 48n;
const MASK = (1n << 64n) - 1n;

/** FNV-1a, 64 bits, over a text's UTF-8. */
export function fnv(text: string, from = 0xcbf29ce484222325n): bigint {
  let hash = from;
  for (const byte of new TextEncoder().encode(text)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & MASK;
  }
  return hash;
}

export interface Theme {
  dark: boolean;
  /** What text on boxes is written in. */
  ink: string;
  /** What was cut. */
  grey: Rgb;
  paper: string;
}

export const LIGHT: Theme = { dark: false, ink: '#16130f', grey: [205, 205, 205], paper: '#fbfaf8' };
export const DARK: Theme = { dark: true, ink: '#f4f1ec', grey: [74, 74, 78], paper: '#17171a' };

/** The colour of a package. */
export function ofPackage(name: string, theme: Theme): Rgb {
  if (!name) return theme.grey;
  const hash = fnv(name);
  const hue = Number((hash ^ (hash >> 32n)) % HUES) * ((2 * Math.PI) / Number(HUES));
  return theme.dark ? oklch(0.44, 0.085, hue) : oklch(0.82, 0.085, hue);
}

/** The colour of a change: -1 is all gone (blue), 1 is all new (orange). */
export function ofChange(strength: number, theme: Theme): Rgb {
  const bent = Number.isFinite(strength) ? Math.max(-1, Math.min(1, strength)) : 0;
  const hue = ((bent < 0 ? 250 : 62) * Math.PI) / 180;
  // Small changes are seen too: the root spreads them.
  const depth = Math.sqrt(Math.abs(bent));
  return theme.dark ? oklch(0.3 + 0.16 * depth, 0.12 * depth, hue) : oklch(0.94 - 0.2 * depth, 0.13 * depth, hue);
}

/** The colour of a cell: 0 is nothing, 1 is the most there is. */
export function ofHeat(share: number, theme: Theme): Rgb {
  const heat = Math.sqrt(Math.max(0, Math.min(1, share)));
  const hue = ((85 - 55 * heat) * Math.PI) / 180;
  return theme.dark ? oklch(0.26 + 0.5 * heat, 0.16 * heat, hue) : oklch(0.96 - 0.42 * heat, 0.04 + 0.15 * heat, hue);
}

export function css([r, g, b]: Rgb): string {
  return `rgb(${r},${g},${b})`;
}

/** OKLCH to sRGB, https://bottosson.github.io/posts/oklab/ */
function oklch(lightness: number, chroma: number, hue: number): Rgb {
  const a = chroma * Math.cos(hue);
  const b = chroma * Math.sin(hue);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear: Rgb = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  return linear.map((value) => Math.round(encoded(Math.max(0, Math.min(1, value))) * 255)) as Rgb;
}

function encoded(linear: number): number {
  return linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
}

/** Contrast of two colours by WCAG 2. */
export function contrast(one: Rgb, other: Rgb): number {
  const light = (rgb: Rgb): number => {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    }) as Rgb;
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [a, b] = [light(one), light(other)].sort((x, y) => y - x) as [number, number];
  return (a + 0.05) / (b + 0.05);
}
