// Opens a file with the tool it is for and prints what the tool read, as JSON:
//   node open.mjs TOOLS TOOL FILE
// TOOLS is where fetch.sh put them; TOOL is speedscope, flamebearer, chrome or
// firefox. Ends with an error where the tool refuses the file.
import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import { createRequire } from 'node:module';

const [tools, tool, file] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(tools), 'package.json'));
const text = fs.readFileSync(file, 'utf8');
const here = path.dirname(new URL(import.meta.url).pathname);

// speedscope ships as one script for browsers. It is run up to where it would
// draw; its importer, which it loads by name, is asked for there instead.
function speedscopeImporter() {
  const folder = path.join(tools, 'node_modules/speedscope/dist/release');
  const name = fs.readdirSync(folder).find((name) => /^speedscope-\w+\.js$/.test(name));
  const script = fs.readFileSync(path.join(folder, name), 'utf8');
  const find = (pattern) => {
    const found = pattern.exec(script);
    if (!found) throw new Error(`this speedscope is built otherwise: no ${pattern}`);
    return found;
  };
  const module = find(/([\w$]+)=\{\};[\w$]+\(\1,\{importFromFileSystemDirectoryEntry:/)[1];
  const escaped = module.replaceAll('$', '\\$');
  const init = find(new RegExp(`\\(\\)=>\\(([\\w$]+)\\(\\),${escaped}\\)`))[1];
  const draws = script.lastIndexOf('console.log(`speedscope v');
  if (draws < 0) throw new Error('this speedscope is built otherwise: it does not greet');
  // A browser that has everything and does nothing.
  const nothing = () => new Proxy(function () {}, {
    get: (_, key) => (key === Symbol.toPrimitive ? () => '' : nothing()),
    apply: nothing, construct: nothing, set: () => true, has: () => true,
  });
  const browser = {
    console: { log() {}, warn() {}, error: console.error }, document: nothing(),
    navigator: { userAgent: '', platform: '' }, location: { hash: '', protocol: 'http:', href: '' },
    localStorage: nothing(), FileReader: nothing(), matchMedia: nothing, addEventListener() {},
    requestAnimationFrame() {}, setTimeout, clearTimeout, TextDecoder, TextEncoder, URL, Blob, File, performance,
  };
  browser.window = browser.self = browser;
  vm.createContext(browser);
  vm.runInContext(`${script.slice(0, draws)};self.importer=()=>(${init}(),${module});})();`, browser);
  return browser.importer();
}

async function bySpeedscope(name) {
  const group = await speedscopeImporter().importProfileGroupFromText(name, text);
  if (!group) throw new Error('speedscope does not know the format');
  return group.profiles.map((profile) => {
    const frames = {};
    profile.forEachFrame((frame) => {
      frames[frame.name] = { self: frame.getSelfWeight(), total: frame.getTotalWeight() };
    });
    return { name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalNonIdleWeight(), frames };
  });
}

function bySchema(schema) {
  const Ajv = require('ajv');
  const ajv = new Ajv({ strict: false, allErrors: true });
  const validate = ajv.compile(JSON.parse(fs.readFileSync(schema, 'utf8')));
  const document = JSON.parse(text);
  if (!validate(document)) throw new Error(JSON.stringify(validate.errors.slice(0, 5)));
  return document;
}

// Columns of a table are of its length, and what points into another is within.
function columns(table, what) {
  for (const [name, column] of Object.entries(table)) {
    if (Array.isArray(column) && column.length !== table.length) throw new Error(`${what}.${name} is not of length ${table.length}`);
  }
}
function within(column, length, least, what) {
  for (const at of column) {
    if (at !== null && !(Number.isInteger(at) && at >= least && at < length)) throw new Error(`${what} holds ${at}, of ${length}`);
  }
}

function byFirefox() {
  const document = bySchema(path.join(here, 'firefox.schema.json'));
  const { stackTable, frameTable, funcTable, resourceTable, sources, stringArray } = document.shared;
  for (const [name, table] of Object.entries(document.shared)) if (name !== 'stringArray') columns(table, name);
  within(stackTable.frame, frameTable.length, 0, 'stackTable.frame');
  stackTable.prefixOffset.forEach((offset, at) => within([offset], at + 1, 0, 'stackTable.prefixOffset'));
  within(frameTable.func, funcTable.length, 0, 'frameTable.func');
  within(funcTable.name, stringArray.length, 0, 'funcTable.name');
  within(funcTable.resource, resourceTable.length, -1, 'funcTable.resource');
  within(funcTable.source, sources.length, 0, 'funcTable.source');
  within(resourceTable.name, stringArray.length, 0, 'resourceTable.name');
  within(sources.filename, stringArray.length, 0, 'sources.filename');
  return document.threads.map(({ name, samples }) => {
    columns(samples, 'samples');
    within(samples.stack, stackTable.length, 0, 'samples.stack');
    samples.time.reduce((before, time) => { if (time < before) throw new Error('samples.time goes back'); return time; }, 0);
    const frames = {};
    samples.stack.forEach((leaf, i) => {
      const seen = new Set();
      for (let at = leaf; ; at -= stackTable.prefixOffset[at]) {
        const name = stringArray[funcTable.name[frameTable.func[stackTable.frame[at]]]];
        frames[name] ??= { self: 0, total: 0 };
        if (at === leaf) frames[name].self += samples.weight[i];
        if (!seen.has(name)) frames[name].total += samples.weight[i];
        seen.add(name);
        if (stackTable.prefixOffset[at] === 0) break;
      }
    });
    return { name, unit: samples.weightType, total: samples.weight.reduce((a, b) => a + b, 0), frames };
  });
}

function byPyroscope() {
  const { FlamebearerProfileSchema, decodeFlamebearer } = require('@pyroscope/models');
  const { flamebearer, metadata } = decodeFlamebearer(FlamebearerProfileSchema.parse(JSON.parse(text)));
  const frames = {};
  flamebearer.levels.forEach((level, depth) => {
    const above = flamebearer.levels[depth - 1];
    for (let i = 0; i < level.length; i += 4) {
      const [x, total, self, at] = level.slice(i, i + 4);
      const holds = (j) => above[j] <= x && x + total <= above[j] + above[j + 1];
      if (above && ![...Array(above.length / 4).keys()].some((j) => holds(4 * j))) throw new Error(`a box of level ${depth} stands on none`);
      frames[flamebearer.names[at]] ??= { self: 0 };
      frames[flamebearer.names[at]].self += self;
    }
  });
  return [{ name: metadata.name, unit: metadata.units, total: flamebearer.numTicks, frames }];
}

const readers = {
  speedscope: async () => {
    bySchema(path.join(tools, 'node_modules/speedscope/dist/release/file-format-schema.json'));
    return bySpeedscope('profile.speedscope.json');
  },
  chrome: async () => {
    bySchema(path.join(here, 'trace-event.schema.json'));
    return bySpeedscope('profile.trace');
  },
  firefox: async () => byFirefox(),
  flamebearer: async () => byPyroscope(),
};
console.log(JSON.stringify(await readers[tool]()));
