/** A canvas to draw on, in CSS pixels, sharp on every screen. */

/** The canvas as large as its place and empty; nothing where there is no room. */
export function cleared(canvas: HTMLCanvasElement, place: HTMLElement): CanvasRenderingContext2D | null {
  const context = canvas.getContext('2d');
  const [width, height] = [place.clientWidth, place.clientHeight];
  if (!context || width === 0) return null;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace';
  context.textBaseline = 'middle';
  return context;
}
