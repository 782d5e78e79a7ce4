jepac explain: memory, time and fusion by model line, and traces.

$ jepac explain tiny.jepa --memory -o m.svg | grep -c -e ' <- peak' -e '^live at the peak' -e '^tiny.jepa:8 .*net(x)$' -e '^tiny.jepa:18 .*adamw'
  4
$ grep -c '<rect x=.*tiny.jepa:8' m.svg | awk '{ print ($1 > 3) }' && tail -1 m.svg
  1
  </svg>
$ jepac explain tiny.jepa --fusion > f.txt && grep -c '^tiny.jepa:8 ' f.txt && grep -o 'relu f32.16,16. .* for k[0-9]*: dot_general (k[0-9]*) reads its operands from memory' f.txt | cut -c1-16
  1
  relu f32[16,16] 
$ grep -c -e 'k0_dot_general' -e 'has a kernel of its own' f.txt | awk '{ print ($1 > 2) }'
  1

Fusion writes down a reason for every value it stores, in every model, and dumps keep them.

$ for m in $ROOT/models/*.jepa; do jepac explain $m --fusion > g.txt && grep -q 'not fused' g.txt && ! grep 'no reason is written down' g.txt || echo "$m: failed"; done
$ jepac explain $ROOT/models/cnn.jepa --fusion | grep -c ': in one kernel with .*: both read the same values' | awk '{ print ($1 > 4) }'
  1
$ jepac ir tiny.jepa --train-step --stage plan --dump-ir d -q > plan.txt; jepac explain d/*-memplan.ir --fusion | grep '^ ' > h.txt; jepac explain tiny.jepa --fusion | grep '^ ' | diff - h.txt && grep -c 'not fused' h.txt
  19
$ jepac explain tiny.jepa --time | sed -n -e '2s/ .*//p' -e '/^all/s/ .*//p'
  line
  all
$ jepac bench tiny.jepa --steps 2 --trace t.json > bench.txt && jepac explain tiny.jepa --time --trace t.json | grep -c 'meas ms'
  1
$ grep -o '"name":"tiny.jepa:8 k[0-9]*_dot_general[a-z.]*","cat":"forward","ph":"X","pid":1' t.json | sed 's/k[0-9]*_dot_general[a-z.]*/K/' | uniq
  "name":"tiny.jepa:8 K","cat":"forward","ph":"X","pid":1
$ jepac explain tiny.jepa --time --trace t.json --set width=8
  jepac: error: t.json is the trace of another program (another model, --set or jepac)
  exit 3
$ jepac train tiny.jepa -q --steps 3 --out run --profile && jepac explain tiny.jepa --time --trace run/trace.json | grep -c 'meas ms'
  1
$ jepac explain sum.ir --memory | grep -c '<- peak'
  1
$ jepac explain $ROOT/models/cnn.jepa --memory | awk '/^arena/ { print ($2 > 20) }'; jepac explain $ROOT/models/cnn.jepa --memory --max-memory 18M | awk '/^arena/ { print ($2 > 10 && $2 < 18) }'
  1
  1
$ jepac ir $ROOT/models/cnn.jepa --train-step --stage plan --max-memory 18M | awk 'NR == 1 { print $1, ($2 < 18 * 1048576) }'
  arena 1
$ jepac explain tiny.jepa --time --fusion
  jepac: error: --memory, --time and --fusion exclude each other
  exit 2
$ jepac explain tiny.jepa --time --trace tiny.jepa
  jepac: error: tiny.jepa is not a trace made by jepac
  exit 3

A file of the same name in another folder.

$ mkdir -p top/same && printf 'model Half() {\n  fn forward(x) = 0.5 * relu(x)\n}\n' > top/same/tiny.jepa && (echo 'use "same/tiny.jepa"'; sed 's/ReLU()/Half()/' tiny.jepa) > top/tiny.jepa && jepac explain top/tiny.jepa --fusion | grep -o '^[a-z/]*.jepa:[0-9]*' | sort
  same/tiny.jepa:2
  top/tiny.jepa:10
  top/tiny.jepa:15
  top/tiny.jepa:17
  top/tiny.jepa:19
  top/tiny.jepa:6
  top/tiny.jepa:9
$ jepac bench top/tiny.jepa -v --steps 1 | grep -o '[a-z/]*tiny.jepa:2 '
  same/tiny.jepa:2 
$ jepac ir top/tiny.jepa --stage kernels | grep -o '[a-z/]*tiny.jepa:2$' | sort -u
  same/tiny.jepa:2

A training step has its own mode.

$ jepac explain tiny.jepa --memory --mode eval
  jepac: error: train_step runs in train mode
  jepac: note: --entry names another entry
  exit 2
$ jepac verify tiny.jepa --mode eval
  jepac: error: train_step runs in train mode
  jepac: note: --entry names another entry
  exit 2
$ jepac ir tiny.jepa --train-step --mode eval
  jepac: error: train_step runs in train mode
  exit 2
$ jepac ir tiny.jepa --train-step --grad
  jepac: error: --grad belongs to an entry, not to train_step
  exit 2
$ jepac ir tiny.jepa --entry train_step --stage grad | head -1
  graph train_step {
$ jepac explain tiny.jepa --memory --mode eval --entry forward | head -1
  arena    4.50 KiB

By module, each with its parts: `net` counts what `net.0` and `net.2` do.

$ jepac explain tiny.jepa --time --by module | awk '$1 ~ /^net|^[(]model|^module/ { print $1, $2 }'
  module FLOP
  (model) forward
  net forward
  net.0 forward
  net.1 forward
  net.2 forward
$ jepac explain tiny.jepa --memory --by module | awk '/^live/ { on = 1 } on && $1 ~ /^net/ { print $1 }'
  net
  net.0
  net.2
$ jepac bench tiny.jepa --steps 1 --by module > m.txt; awk '$1 == "net" { whole = $4 } $1 ~ /^net[.][012]$/ { parts += $4 } END { print (whole > parts - 0.003) }' m.txt; awk '$1 ~ /^net|^all/ { print $1 }' m.txt
  1
  net
  net.0
  net.1
  net.2
  all
$ jepac bench tiny.jepa --steps 1 --flame f.folded > f.txt && grep -c '^step;forward;net;0;k[0-9]*_.* [0-9]*$' f.folded && grep -c '^step;gradient;net;' f.folded | awk '{ print ($1 > 1) }'
  2
  1
$ awk '$NF > 0 { some++ } END { print (some >= NR - 1) }' f.folded
  1
$ jepac bench tiny.jepa --steps 1 --flame f.svg > f.txt && grep -c '<title>net: ' f.svg && python3 -c "import xml.dom.minidom as m; print(m.parse('f.svg').documentElement.tagName)"
  2
  svg
$ jepac explain tiny.jepa --fusion --by module
  jepac: error: --fusion is told by line: --by module goes with --memory and --time
  exit 2
$ jepac explain sum.ir --memory --by module
  jepac: error: a dump does not hold the paths of modules: --by module needs the model file
  exit 2
