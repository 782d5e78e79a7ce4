Names and texts of strangers in pages and pictures: nothing in them is markup.

$ sed 's#^model#\# </script><script>alert(1)</script>\nmodel#' tiny.jepa > 't<script>alert(1).jepa'; jepac train 't<script>alert(1).jepa' -q --steps 2 --out 'r<script>alert(1)' && jepac eval 'r<script>alert(1)' -q >/dev/null && ls 'r<script>alert(1)'
  checkpoint.safetensors
  eval.json
  report.html
  run.jsonl
  run.svg
$ marks 'r<script>alert(1)/run.svg' 'r<script>alert(1)/report.html'
  run.svg: shown yes, run 0
  report.html: shown yes, run 0
$ jepac train tiny.jepa -q --steps 4 --out plain && jepac compare plain 'r<script>alert(1)' -o c.html >/dev/null && marks c.html
  c.html: shown yes, run 0
$ jepac ir 't<script>alert(1).jepa' --stage kernels --dump-ir d > /dev/null && marks d/index.html
  index.html: shown yes, run 0
$ jepac bench 't<script>alert(1).jepa' -q --flame f.svg > /dev/null && marks f.svg
  f.svg: shown yes, run 0
$ printf 'graph g {\n  %%0: f32[3] = arg "</script><script>alert(1)</script>"\n  %%1: f32[3] = exp %%0\n  return "<script>alert(1)" %%1\n}\n' > n.ir; jepac ir n.ir --stage kernels --dump-ir n >/dev/null && grep -c '<script>alert' n/index.html
  0
  exit 1
