Names and texts of strangers in pages and pictures: nothing in them is markup.

$ printf '<' > evil; sed 's#^model#\# </script><script>alert(1)</script>\nmodel#' tiny.jepa > 't<script>alert(1).jepa'; jepac train 't<script>alert(1).jepa' -q --steps 2 --out 'r<script>alert(1)' && jepac eval 'r<script>alert(1)' -q && ls 'r<script>alert(1)'
$ marks 'r<script>alert(1)/run.svg' 'r<script>alert(1)/report.html'
$ jepac train tiny.jepa -q --steps 4 --out plain && jepac compare plain 'r<script>alert(1)' -q -o c.html && marks c.html
$ jepac ir 't<script>alert(1).jepa' --dump-ir d > /dev/null && marks d/index.html
$ jepac bench 't<script>alert(1).jepa' -q --flame f.svg > /dev/null && marks f.svg
$ printf 'graph g {\n  %%0: f32[3] = arg "</script><script>alert(1)</script>"\n  %%1: f32[3] = exp %%0\n  return "<script>alert(1)" %%1\n}\n' > n.ir; jepac ir n.ir --stage kernels --dump-ir n >/dev/null && marks n/index.html
