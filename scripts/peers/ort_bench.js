#!/usr/bin/env node
// ONNX Runtime inference peer: one JSON line per run, same keys as peer_bench.py.
//   make setup        puts onnxruntime-node into third_party/onnxruntime
//   node ort_bench.js --model FILE.onnx [--batch 8] [--threads 2] [--steps 60] [--warmup 3] [--max-seconds 10]
//                     [--imgsz 224] [--ref DIR]   DIR of make_models.py: checks the output against NAME.y.f32 first
// images_per_s / ms_per_step: best run; *_median: median; cpu_ms_per_image: CPU time of the cheapest run.
'use strict';
const fs = require('fs'), os = require('os'), path = require('path');
const opt = { model: '', batch: 8, threads: 2, steps: 60, warmup: 3, 'max-seconds': 10, imgsz: 224, ref: '' };
for (let i = 2; i < process.argv.length; i += 2) {
  const k = process.argv[i].replace(/^--/, '');
  if (!(k in opt) || i + 1 >= process.argv.length) { console.error('unknown or incomplete option ' + process.argv[i]); process.exit(2); }
  opt[k] = typeof opt[k] === 'number' ? Number(process.argv[i + 1]) : process.argv[i + 1];
}
if (!opt.model) { console.error('--model FILE.onnx is required'); process.exit(2); }
const ortRoot = path.join(__dirname, '..', '..', 'third_party', 'onnxruntime', 'node_modules', 'onnxruntime-node');
const ort = require(ortRoot);
const f32 = (f) => { const b = fs.readFileSync(f); return new Float32Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.length)); };
const name = path.basename(opt.model, '.onnx');

(async () => {
  const s = await ort.InferenceSession.create(opt.model, { executionProviders: ['cpu'], intraOpNumThreads: opt.threads, interOpNumThreads: 1, graphOptimizationLevel: 'all' });
  const inName = s.inputNames[0], outName = s.outputNames[0];
  let err = null, B = opt.batch, S = opt.imgsz, src = null;
  if (opt.ref) {
    const r = JSON.parse(fs.readFileSync(path.join(opt.ref, 'ref.json')))[name];
    src = f32(path.join(opt.ref, r.input.file));
    const want = f32(path.join(opt.ref, r.output.file));
    const got = (await s.run({ [inName]: new ort.Tensor('float32', src, r.input.dims) }))[outName].data;
    err = 0; got.forEach((v, i) => { err = Math.max(err, Math.abs(v - want[i])); });
    S = r.input.dims[2];
    if (!r.dynamic_batch) B = r.input.dims[0];
  }
  const x = new Float32Array(B * 3 * S * S);
  let seed = 1;
  for (let i = 0; i < x.length; i++) { if (src) x[i] = src[i % src.length]; else { seed = (seed * 1103515245 + 12345) & 0x7fffffff; x[i] = seed / 0x40000000 - 1; } }
  const t = new ort.Tensor('float32', x, [B, 3, S, S]);
  for (let i = 0; i < opt.warmup; i++) await s.run({ [inName]: t });
  const all = []; let cpu = Infinity; const t0 = process.hrtime.bigint();
  for (let i = 0; i < opt.steps; i++) {
    const c0 = process.cpuUsage(), a = process.hrtime.bigint();
    await s.run({ [inName]: t });
    all.push(Number(process.hrtime.bigint() - a) / 1e6);
    const c = process.cpuUsage(c0); cpu = Math.min(cpu, (c.user + c.system) / 1e3);
    if (Number(process.hrtime.bigint() - t0) / 1e9 > opt['max-seconds'] && all.length >= 3) break;
  }
  all.sort((p, q) => p - q);
  const best = all[0], med = all[all.length >> 1], r2 = (v) => Math.round(v * 100) / 100;
  console.log(JSON.stringify({
    model: name, mode: 'infer', dtype: 'f32', batch: B, threads: opt.threads, rank: null, images_per_s: r2(B / best * 1e3), ms_per_step: r2(best),
    peak_rss_mb: Math.round(process.resourceUsage().maxRSS / 1024), trainable_params: 0, images_per_s_median: r2(B / med * 1e3), ms_per_step_median: r2(med),
    cpu_ms_per_image: r2(cpu / B), steps: all.length, imgsz: S, max_abs_err_vs_ref: err, runtime: 'onnxruntime-node ' + require(path.join(ortRoot, 'package.json')).version,
    load: Math.round(os.loadavg()[0] * 10) / 10,
  }));
})().catch((e) => { console.error(String(e)); process.exit(1); });
