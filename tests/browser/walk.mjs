// Walks the pages of a running Flambeau in a real browser and prints, as one JSON
// document, what it found: errors on the console, broken content policies, dialogs,
// what axe-core objects to, and whether each thing did what it is for.
//
//   node walk.mjs TOOLS URL SCREENS
//
// TOOLS is the folder that fetch.sh filled; screenshots go to SCREENS.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [tools, base, screens] = process.argv.slice(2);
const require = createRequire(join(tools, 'node_modules', 'x'));
const { chromium } = require('playwright-core');
const axe = readFileSync(join(tools, 'node_modules', 'axe-core', 'axe.min.js'), 'utf8');
mkdirSync(screens, { recursive: true });

const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SHOP = '/s/checkout/cpu?from=now-6h';
const HOSTILE = `/s/${encodeURIComponent('evil <script>alert(1)</script>')}/cpu`;
const DIFF = `/diff/checkout/cpu?from=now-6h&a.q=${encodeURIComponent('{version="41"}')}&b.q=${encodeURIComponent('{version="42"}')}`;

const report = { troubles: [], failures: [], axe: {}, done: [] };
const browser = await chromium.launch({ executablePath, args: FLAGS });

/** A page that notes whatever should not happen on it. */
async function open(path, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const note = (what) => report.troubles.push(`${path}: ${what}`);
  const expected = options.expected ?? [];
  page.on('console', (message) => {
    const text = `${message.type()}: ${message.text()}`;
    if (message.type() === 'error' && !expected.some((part) => text.includes(part))) note(text);
  });
  page.on('pageerror', (error) => note(`script failed: ${error.message}`));
  page.on('dialog', (dialog) => {
    note(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => console.error(`policy broken: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(base + path, { waitUntil: 'load' });
  return page;
}

const ready = (page, id) => page.waitForSelector(`#${id}[data-ready=true]`, { timeout: 20_000 });
const settle = (page) => page.waitForTimeout(250);

async function check(name, act) {
  try {
    await act();
    report.done.push(name);
  } catch (error) {
    report.failures.push(`${name}: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
  }
}

function expect(truth, what) {
  if (!truth) throw new Error(what);
}

/** Looks at a page in every dress: a screenshot of each, axe-core on each. */
async function look(name, path, wait, options = {}) {
  const dresses = {
    light: { colorScheme: 'light' },
    dark: { colorScheme: 'dark' },
    phone: { colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
  };
  for (const [dress, own] of Object.entries(dresses)) {
    await check(`${name} in ${dress}`, async () => {
      const page = await open(path, { ...own, ...options });
      if (wait) await ready(page, wait);
      await settle(page);
      await page.screenshot({ path: join(screens, `${name}-${dress}.png`), fullPage: true });
      // Through the debugger's own way in: the page's policy lets no other script run.
      await page.evaluate(axe);
      const found = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
      const said = found.violations.map((rule) => `${rule.id} (${rule.nodes.length}): ${rule.nodes[0]?.html.slice(0, 160)}`);
      if (said.length) report.axe[`${name} in ${dress}`] = said;
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(wide <= 1, `the page is ${wide} px wider than the screen`);
      await page.context().close();
    });
  }
}

const trace = async () => (await (await fetch(`${base}/s/checkout/perf/traces`, { headers: { accept: 'application/json' } })).json())[0].id;
const missing = { expected: ['404'] };

await look('services', '/', null);
await look('profile', SHOP, 'graph');
await look('labels', `${SHOP}&q=${encodeURIComponent('{version="42"}')}&f=json`, 'graph');
await look('dollars', `${SHOP}&unit=dollars`, 'graph');
await look('around', `${SHOP}&around=${encodeURIComponent('regexp.(*Regexp).doExecute')}`, 'graph');
await look('table', `${SHOP}&view=table`, null);
await look('fleet', `${SHOP}&view=heatmap`, 'heat');
await look('by-version', `${SHOP}&view=heatmap&by=version`, 'heat');
await look('invocations', '/s/checkout/timeline?from=now-6h&view=heatmap&by=package', 'heat');
await look('diff', DIFF, 'graph');
await look('diff-cold', `/diff/checkout/cpu?from=now-6h&basis=invocation&a.q=${encodeURIComponent('{init="warm"}')}&b.q=${encodeURIComponent('{init="cold"}')}`, 'graph');
await look('traces', '/s/checkout/perf/traces', null);
await look('trace', `/s/checkout/perf/traces/${await trace()}`, 'heat');
await look('hostile', HOSTILE, 'graph');
await look('hostile-diff', `/diff${HOSTILE.slice(2)}`, 'graph');
await look('nothing-here', '/s/checkout/cpu?from=2001-01-01T00:00:00Z&until=2001-01-02T00:00:00Z', null, missing);
await look('no-such-type', '/s/checkout/goroutine', null, missing);
await look('no-such-service', '/s/chekout/cpu', null, missing);
await look('filtered-away', `${SHOP}&f=no_such_function`, 'graph');
await look('problem', '/s/checkout/cpu?from=yesterday', null, { expected: ['400'] });

await check('a click zooms, Escape leaves, the address keeps it', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  const box = await page.locator('.flame').first().boundingBox();
  await page.mouse.click(box.x + box.width * 0.4, box.y + 18 * 5.5);
  await settle(page);
  const zoomed = new URL(page.url()).searchParams.get('root');
  expect(/^[0-9a-f]{16}$/.test(zoomed ?? ''), `root is ${zoomed}`);
  const detail = await page.locator('.detail code').textContent();
  expect(detail && detail.includes('.'), `the detail says ${detail}`);
  await page.goto(page.url());
  await ready(page, 'graph');
  await page.locator('.flame').first().focus();
  await page.keyboard.press('Escape');
  await settle(page);
  expect(new URL(page.url()).searchParams.get('root') !== zoomed, 'Escape does not lead out');
  await page.context().close();
});

await check('arrows walk, and what they reach is said', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  await page.locator('.flame').first().focus();
  for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowUp', 'Enter']) await page.keyboard.press(key);
  await settle(page);
  const said = await page.locator('#graph .unseen[aria-live]').first().textContent();
  expect(/total .+%/.test(said ?? ''), `it says ${said}`);
  await page.context().close();
});

await check('search finds, counts, steps and survives a reload', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  await page.keyboard.press('/');
  await page.keyboard.type('^regexp\\.');
  await page.waitForFunction(() => /functions/.test(document.querySelector('.found')?.textContent ?? ''));
  const share = await page.locator('.found').textContent();
  expect(/\d+ functions, \d+ boxes, .*%/.test(share ?? ''), `it says ${share}`);
  await page.keyboard.press('Enter');
  expect((await page.locator('.detail code').textContent())?.startsWith('regexp.'), 'next leads elsewhere');
  await page.reload();
  await ready(page, 'graph');
  expect((await page.locator('.found').textContent()) === share, 'a reload forgets the search');
  await page.locator('.search input').fill('(');
  await page.waitForSelector('.search input[aria-invalid=true]');
  await page.context().close();
});

await check('the table sorts, and a function opens its callers and callees', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  const first = () => page.locator('.top tbody tr').first().locator('.name').getAttribute('title');
  const bySelf = await first();
  await page.getByRole('button', { name: 'total', exact: true }).click();
  expect((await first()) !== bySelf, 'sorting changes nothing');
  await page.locator('.top tbody tr .name[title="regexp.(*Regexp).doExecute"]').first().click();
  await page.waitForFunction(() => document.querySelectorAll('.around .flame').length === 2);
  expect(new URL(page.url()).searchParams.get('around') === 'regexp.(*Regexp).doExecute', 'the address forgets it');
  await page.context().close();
});

await check('a brush over the chart becomes the range, in the range it was in', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  const box = await page.locator('.chart svg').boundingBox();
  await page.mouse.move(box.x + box.width * 0.7, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + 30, { steps: 5 });
  await Promise.all([page.waitForURL((url) => url.searchParams.has('tfrom')), page.mouse.up()]);
  const params = new URL(page.url()).searchParams;
  expect( Date.parse(params.get('until')) > Date.parse(params.get('from')), page.url());
  await ready(page, 'graph');
  await page.locator('p.lens a').click();
  await ready(page, 'graph');
  expect(!new URL(page.url()).searchParams.get('tfrom'), 'there is no way back');
  await page.context().close();
});

await check('a label narrows, and its chip gives it back', async () => {
  const page = await open(SHOP);
  await page.locator('#labels > summary').click();
  await page.locator('.facets .value', { hasText: '42' }).first().click();
  await ready(page, 'graph');
  expect(new URL(page.url()).searchParams.get('q') === '{version="42"}', page.url());
  await page.locator('.chips a').first().click();
  await ready(page, 'graph');
  expect(!new URL(page.url()).searchParams.get('q'), page.url());
  await page.context().close();
});

await check('one click compares versions; filters tell new from gone', async () => {
  const page = await open(SHOP);
  await page.getByRole('link', { name: 'version 42 against 41' }).click();
  await ready(page, 'graph');
  const names = () => page.locator('.top tbody .name').evaluateAll((all) => all.map((name) => name.title));
  await page.getByRole('button', { name: 'gone', exact: true }).click();
  expect((await names()).some((name) => name === 'main.fillCache'), `gone are ${await names()}`);
  await page.getByRole('button', { name: 'grew', exact: true }).click();
  expect((await names()).some((name) => name.startsWith('regexp.')), `grown are ${await names()}`);
  await page.getByRole('button', { name: 'elided', exact: true }).click();
  expect(new URL(page.url()).searchParams.get('drawn') === 'elided', page.url());
  await page.context().close();
});

await check('two cells of a trace are a range with a flame graph of its own', async () => {
  const page = await open(`/s/checkout/perf/traces/${await trace()}`);
  await ready(page, 'heat');
  await ready(page, 'graph');
  const whole = await page.locator('#graph').getAttribute('data-src');
  const box = await page.locator('.cells').boundingBox();
  await page.mouse.click(box.x + box.width * 0.6, box.y + 40);
  await Promise.all([page.waitForURL((url) => url.searchParams.has('t1')), page.mouse.click(box.x + box.width * 0.75, box.y + 60)]);
  const params = new URL(page.url()).searchParams;
  expect(Number(params.get('t1')) > Number(params.get('t0')), page.url());
  await ready(page, 'graph');
  expect((await page.locator('#graph').getAttribute('data-src')) !== whole, 'the graph is of the whole still');
  await page.context().close();
});

await check('the outline is a tree that keys walk', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  await page.getByText('Outline of the heaviest boxes').click();
  await page.waitForSelector('[role=tree] [role=treeitem]');
  await page.locator('[role=treeitem]').first().focus();
  await page.keyboard.press('ArrowDown');
  const level = await page.evaluate(() => document.activeElement?.getAttribute('aria-level'));
  expect(level === '2', `the second item is at level ${level}`);
  await page.context().close();
});

await check('the theme is kept', async () => {
  const page = await open('/', { colorScheme: 'light' });
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await paper();
  await page.locator('#theme').click();
  const dark = await paper();
  expect(dark !== light, 'the button does nothing');
  await page.reload();
  expect((await paper()) === dark, 'a reload forgets it');
  await page.context().close();
});

await check('Share pins what is there', async () => {
  const page = await open(SHOP);
  await ready(page, 'graph');
  await page.locator('#share').click();
  const params = new URL(page.url()).searchParams;
  expect(/^[0-9a-f]{32}$/.test(params.get('pin') ?? '') && !params.get('from').startsWith('now'), page.url());
  await page.reload();
  await ready(page, 'graph');
  expect(!(await page.content()).includes('more has come'), 'the pin does not hold');
  await page.context().close();
});

await check('without script there is a picture and a table', async () => {
  const page = await open(SHOP, { javaScriptEnabled: false });
  const width = await page.locator('noscript img, img.still').first().evaluate((image) => image.naturalWidth).catch(() => 0);
  expect(width > 0, 'the picture is not drawn');
  await page.screenshot({ path: join(screens, 'no-script.png'), fullPage: true });
  await page.getByRole('link', { name: 'The functions as a table' }).click();
  expect((await page.locator('table.top tbody tr').count()) > 20, 'the table is empty');
  await page.context().close();
});

for (const [name, path] of [['picture', `${SHOP}&format=svg`], ['hostile-picture', `${HOSTILE}?format=svg`], ['diff-picture', `${DIFF}&format=svg`]]) {
  await check(`the ${name} opens by itself`, async () => {
    const page = await open(path);
    const boxes = await page.evaluate(() => document.querySelectorAll('rect').length);
    expect(boxes > 3, `it has ${boxes} boxes`);
    expect(!(await page.evaluate(() => document.querySelector('parsererror'))), 'it is not well-formed');
    await page.screenshot({ path: join(screens, `${name}.png`) });
    await page.context().close();
  });
}

await check('the script of the picture runs', async () => {
  const page = await open(`${SHOP}&format=svg`);
  const group = page.locator('#frames g, #frames a').nth(4);
  const before = await group.evaluate((box) => box.querySelector('rect')?.getAttribute('width'));
  await group.click();
  await settle(page);
  const after = await group.evaluate((box) => box.querySelector('rect')?.getAttribute('width'));
  expect(before !== after, `a click leaves ${before} as it was`);
  await page.context().close();
});

await browser.close();
console.log(JSON.stringify(report, null, 1));
