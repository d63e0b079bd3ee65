// Builds the pages' script and style into dist/, which is committed so that cargo
// alone builds render. `--check` builds again and compares; `--tests` builds the
// tests into target/.
import { build } from 'esbuild';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync } from 'node:zlib';

const here = (path) => new URL(path, import.meta.url).pathname;

async function bundled() {
  const common = { bundle: true, minify: true, write: false, target: 'es2022', legalComments: 'none' };
  const script = await build({ ...common, entryPoints: [here('src/page.ts')], format: 'esm' });
  const style = await build({ ...common, entryPoints: [here('src/page.css')] });
  return {
    'page.js': Buffer.from(script.outputFiles[0].contents),
    'page.css': Buffer.from(style.outputFiles[0].contents),
    'icon.svg': readFileSync(here('src/icon.svg')),
  };
}

function write(files) {
  mkdirSync(here('dist'), { recursive: true });
  for (const [name, bytes] of Object.entries(files)) {
    writeFileSync(here(`dist/${name}`), bytes);
    writeFileSync(here(`dist/${name}.gz`), gzipSync(bytes, { level: 9 }));
    const best = { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } };
    writeFileSync(here(`dist/${name}.br`), brotliCompressSync(bytes, best));
    console.log(`${name}: ${bytes.length} bytes, ${readFileSync(here(`dist/${name}.br`)).length} as brotli`);
  }
}

// Compressors differ from version to version: what they hold is compared.
function check(files) {
  const stale = [];
  for (const [name, bytes] of Object.entries(files)) {
    const read = (suffix) => readFileSync(here(`dist/${name}${suffix}`));
    const same = [read(''), gunzipSync(read('.gz')), brotliDecompressSync(read('.br'))].every((held) => held.equals(bytes));
    if (!same) stale.push(name);
  }
  if (stale.length) {
    console.error(`dist/ is not what src/ makes: ${stale.join(', ')}; run \`npm run build\` in web/`);
    process.exit(1);
  }
}

if (process.argv.includes('--tests')) {
  const tests = readdirSync(here('test')).filter((name) => name.endsWith('.test.ts'));
  await build({
    entryPoints: tests.map((name) => here(`test/${name}`)),
    bundle: true,
    format: 'esm',
    platform: 'node',
    outdir: here('target'),
    outExtension: { '.js': '.mjs' },
    loader: { '.json': 'json' },
  });
} else if (process.argv.includes('--check')) check(await bundled());
else write(await bundled());
