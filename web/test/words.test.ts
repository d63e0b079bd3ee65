import assert from 'node:assert/strict';
import { test } from 'node:test';
import examples from '../quantities.json';
import { fitted, short } from '../src/names.ts';
import { percent, quantity } from '../src/quantity.ts';

test('quantities are what the server says too', () => {
  for (const [value, unit, expected] of examples as [number, string, string][]) {
    assert.equal(quantity(value, unit), expected, `${value} ${unit}`);
  }
});

test('shares have the digits they need', () => {
  assert.deepEqual([1, 0.5, 0.0012, 0, 0.00012, 0.9996].map(percent), ['100 %', '50.0 %', '0.1 %', '0 %', '0.01 %', '100 %']);
});

test('names are short by rule', () => {
  for (const [full, expected] of [
    // Rust
    ['serde_json::de::from_slice', 'de::from_slice'],
    ['core::ops::function::FnOnce::call_once', 'FnOnce::call_once'],
    ['<alloc::vec::Vec<T,A> as core::iter::traits::collect::Extend<T>>::extend', 'Vec::extend'],
    ['tokio::runtime::task::core::Core<T,S>::poll::{{closure}}', 'Core::poll::{{closure}}'],
    ['<&mut T as core::fmt::Debug>::fmt', 'T::fmt'],
    ['std::rt::lang_start::h0123456789abcdef', 'rt::lang_start'],
    ['app::handler::handle::{closure#0}::{closure#1}', 'handler::handle::{closure#0}::{closure#1}'],
    // Go
    ['encoding/json.(*decodeState).object', 'json.(*decodeState).object'],
    ['github.com/a/b/pkg.Map[go.shape.int,github.com/c/d.T]', 'pkg.Map'],
    ['runtime.mallocgc', 'runtime.mallocgc'],
    ['main.(*crew).work.func1', 'main.(*crew).work.func1'],
    // C++
    ['std::vector<int, std::allocator<int> >::push_back(int const&)', 'vector::push_back'],
    ['void ns::work<ns::T>(std::string) const', 'ns::work'],
    // Java
    ['java.util.HashMap.get', 'HashMap.get'],
    ['java/util/HashMap.get', 'HashMap.get'],
    // What says all it has to say
    ['main', 'main'],
    ['[kernel.kallsyms]', '[kernel.kallsyms]'],
    ['(no stack)', '(no stack)'],
    ['0x7f00', '0x7f00'],
    ['', ''],
    ['::', '::'],
    ['<>::', '<>::'],
  ]) {
    assert.equal(short(full!), expected, full);
  }
});

test('no name is too odd to be shortened', () => {
  const odd = '<>[]{}()::/.*& \u{1f525}asλ'.split('');
  for (let seed = 1; seed < 3000; seed += 1) {
    let state = seed;
    let name = '';
    for (let at = 0; at < seed % 23; at += 1) {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      name += odd[state % odd.length];
    }
    const made = short(name);
    assert.ok(name === '' || made !== '', JSON.stringify(name));
    assert.ok(made.length <= name.length + 3, JSON.stringify([name, made]));
  }
});

test('what is too long is cut in its middle', () => {
  assert.equal(fitted('abcdefghij', 10), 'abcdefghij');
  assert.equal(fitted('abcdefghij', 7), 'ab…ghij');
  assert.equal(fitted('abcdefghij', 2), '');
});
