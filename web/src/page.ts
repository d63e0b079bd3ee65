/** Starts what a page has. */

import { css, ofChange } from './colour.ts';
import { Diff } from './diff.ts';
import { settled } from './dom.ts';
import { Graph } from './graph.ts';
import { HeatMap } from './heatmap.ts';
import { startBrush } from './timeline.ts';
import { onTheme, startTheme, theme } from './theme.ts';

startTheme();
showTimes();
startShare();
startFilter();
document.querySelectorAll<HTMLElement>('[data-chart]').forEach(startBrush);
document.querySelectorAll<HTMLElement>('[data-heat]').forEach((place) => new HeatMap(place));
document.querySelectorAll<HTMLElement>('[data-graph]').forEach((place) => {
  if (place.dataset['graph'] === 'diff') new Diff(place);
  else new Graph(place);
});
colourLegend();
onTheme(colourLegend);
const poll = document.querySelector<HTMLElement>('[data-poll]');
if (poll) setTimeout(() => location.reload(), Number(poll.dataset['poll']) * 1000);

/** Times say when they were where the reader is. */
function showTimes(): void {
  document.querySelectorAll<HTMLTimeElement>('time[datetime]').forEach((element) => {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime())) return;
    element.title = time.toLocaleString();
    if (/^\d{4}-\d\d-\d\dT/.test(element.textContent ?? '')) {
      element.textContent = `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    }
  });
}

/** The address with its times and its answer pinned, in the clipboard. */
function startShare(): void {
  const share = document.getElementById('share');
  if (!share) return;
  share.hidden = false;
  share.addEventListener('click', () => {
    const url = new URL(share.dataset['share'] ?? '', location.href);
    // What the reader has made of the page since goes along.
    for (const name of ['root', 'search', 'draw', 'names', 'around', 'view', 'by']) {
      const value = new URL(location.href).searchParams.get(name);
      if (value) url.searchParams.set(name, value);
    }
    history.replaceState(null, '', url.href);
    void navigator.clipboard?.writeText(url.href).then(
      () => (share.textContent = 'Copied'),
      () => (share.textContent = 'See the address'),
    );
  });
}

function startFilter(): void {
  const field = document.getElementById('filter') as HTMLInputElement | null;
  if (!field) return;
  field.closest('label')!.hidden = false;
  const run = settled(() => {
    const wanted = field.value.toLowerCase();
    document.querySelectorAll<HTMLElement>('table.list tbody tr').forEach((row) => {
      row.hidden = !(row.textContent ?? '').toLowerCase().includes(wanted);
    });
  }, 60);
  field.addEventListener('input', run);
}

function colourLegend(): void {
  document.querySelectorAll<HTMLElement>('.legend [data-strength]').forEach((step) => {
    step.style.background = css(ofChange(Number(step.dataset['strength']), theme()));
  });
}
