Textual IR: reading, running, passes, and what is wrong with it.

$ jepac ir sum.ir > again.ir && cmp sum.ir again.ir
$ mkst '{"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}' 24 > x.safetensors
$ jepac run sum.ir --interp --inputs x.safetensors
  y 0
$ jepac run sum.ir --inputs x.safetensors
  y 0
$ jepac opt sum.ir --passes simplify,cse,dce -o opt.ir && jepac run opt.ir --interp --inputs x.safetensors
  y 0
$ jepac ir sum.ir --after dce | head -3
  graph sum {
    %0: f32[2,3] = arg "x"
    %1: f32[3] = param "w" {init=fill(2)}
$ jepac ir sum.ir --stage plan | head -1 | cut -d' ' -f1
  arena
$ jepac run sum.ir --interp -q --inputs x.safetensors --outputs y.npy && jepac run sum.ir --inputs y.npy
  jepac: error: y.npy: input 'x' is f64[], but sum needs f32[2,3]
  exit 3
$ jepac ir tiny.jepa --train-step --stage plan --dump-ir dump > plan.txt && ls dump | grep ir$ | sed -n -e 1p -e '$p' | sed 's,^[0-9]*,N,'
  N-simplify.ir
  N-memplan.ir
$ jepac ir sum.ir --format dot | grep -e digraph -e '"%0 ' -e 'v0 ->' -e palegreen
  digraph "sum" {
    v0 [label="%0 x\nf32[2,3]", fillcolor=khaki, shape=ellipse];
    v0 -> v3;
    r0 [label="y", shape=ellipse, fillcolor=palegreen];
$ jepac ir sum.ir --format json | python3 -c 'import json, sys; g = json.load(sys.stdin); print(g["graph"], [n["op"] for n in g["nodes"]], g["nodes"][1], g["results"])'
  sum ['input', 'input', 'broadcast', 'mul', 'reduce_sum'] {'value': 1, 'op': 'input', 'dtype': 'f32', 'shape': [3], 'operands': [], 'name': 'w', 'kind': 'param', 'role': 'forward'} [{'name': 'y', 'value': 4}]
$ jepac ir tiny.jepa --train-step --stage grad --format json | python3 -c 'import json, sys; g = json.load(sys.stdin); print({n["role"] for n in g["nodes"]} == {"forward", "grad", "update"}, all(o < n["value"] for n in g["nodes"] for o in n["operands"]), len([r for r in g["results"] if "state" in r]) > 5)'
  True True True
$ jepac ir tiny.jepa --stage kernels --format dot
  jepac: error: --format dot is for graphs; kernels, plans and code are text
  exit 2
$ for s in graph grad kernels plan llvm asm; do jepac ir tiny.jepa --stage $s -o stage.txt && test -s stage.txt || echo no $s; done

Lowering passes: stopped after, timed, dumped, gone on with from a dump.

$ jepac ir tiny.jepa --train-step --after chain | head -1 | grep -o 'has=.*'
  has=layout,kernels,order,chains
$ jepac ir tiny.jepa --train-step --after layout | grep -c '^graph'
  1
$ jepac ir tiny.jepa --train-step --stage kernels -o all.ir; for p in remat layout precision fuse schedule chain interleave memplan; do jepac ir tiny.jepa --train-step --after $p -o $p.ir || echo no $p; jepac run $p.ir --random; jepac run $p.ir --random --interp | cut -c1-12; done | sort | uniq -c | awk '{ print $1 % 8 }' | uniq
  0
$ cmp all.ir memplan.ir; jepac opt chain.ir --passes interleave,memplan | cmp - all.ir; jepac ir schedule.ir --after chain | cmp - chain.ir; jepac ir interleave.ir --stage kernels | cmp - all.ir; jepac ir chain.ir | cmp - chain.ir; jepac ir chain.ir --after fuse | cmp - chain.ir
$ jepac opt sum.ir --passes cse,layout,fuse,schedule,memplan | head -1 | sed 's/target.*kernels/kernels/'
  program sum kernels=1 compute=1 arena=192
$ jepac opt sum.ir --passes layout,cse
  jepac: error: pass 'cse' is of graphs and comes before lowering
  exit 2
$ jepac opt chain.ir --passes cse
  jepac: error: chain.ir is a program of kernels: no graph pass applies to it
  exit 2
$ jepac opt chain.ir --passes chain
  jepac: error: pass 'chain' has run already
  exit 2
$ jepac ir tiny.jepa --after interleav
  jepac: error: no pass is called 'interleav'
  jepac: note: did you mean 'interleave'?
  exit 2
$ jepac ir tiny.jepa --train-step --stage plan --precision bf16 --time-passes 2>&1 >plan.txt | awk '{ printf "%s ", $1 } END { print "" }'
  pass simplify cse narrow cse autodiff strip simplify cse simplify shard parts canon split cse dce pass remat precision layout fuse schedule chain interleave memplan 
$ rm -rf dump; jepac ir tiny.jepa --train-step --stage plan --precision bf16 --verify-each --dump-ir dump > plan.txt && ls dump | grep ir$ | sed 's,^[0-9]*-,,' | tail -6 | tr '\n' ' '; echo
  cse.ir precision.ir fuse.ir schedule.ir interleave.ir memplan.ir 

$ jepac run nothere.ir
  jepac: error: cannot read IR file nothere.ir: No such file or directory
  exit 3
$ jepac run sum.ir --entry summ --inputs x.safetensors
  jepac: error: sum.ir has no graph 'summ'
  jepac: note: did you mean 'sum'?
  exit 2
$ jepac run sum.ir --grad
  jepac: error: --grad and --mode belong to model files: an IR file is one graph as it stands
  exit 2
$ : > empty.ir; jepac ir empty.ir
  empty.ir:1:1: error: expected 'graph', but found the end of the file
      
      ^
  exit 1
$ head -c 60 sum.ir > cut.ir; jepac ir cut.ir
  cut.ir:3:22: error: this string is not closed on its line or has a bad escape
        %1: f32[3] = param "w
                           ^
  exit 1
$ sed 's/mul %0/mull %0/' sum.ir > op.ir; jepac ir op.ir
  op.ir:5:18: error: unknown operator 'mull'; did you mean 'mul'?
        %3: f32[2,3] = mull %0, %2
                       ^
  exit 1
$ sed 's/mul %0, %2/mul %0, %1/' sum.ir > shape.ir; jepac ir shape.ir
  shape.ir:5:18: error: operands have shapes f32[2,3] and f32[3], which differ in rank
        %3: f32[2,3] = mul %0, %1
                       ^
  exit 1
$ sed 's/mul %0/mul %7/' sum.ir > undefined.ir; jepac ir undefined.ir
  undefined.ir:5:22: error: %7 is not defined above this line
        %3: f32[2,3] = mul %7, %2
                           ^
  exit 1
$ sed 's/f32\[2,3\] = arg/f32[2,0] = arg/' sum.ir > zero.ir; jepac ir zero.ir
  zero.ir:2:13: error: extent 0 of axis 1 is not positive
        %0: f32[2,0] = arg "x"
                  ^
  exit 1
$ sed 's/f32\[2,3\] = arg/f31[2,3] = arg/' sum.ir > type.ir; jepac ir type.ir
  type.ir:2:7: error: unknown element type 'f31'; did you mean 'f32'?
        %0: f31[2,3] = arg "x"
            ^
  exit 1
$ sed 's/axes=\[0,1\]/axes=[0,2]/' sum.ir > axis.ir; jepac ir axis.ir
  axis.ir:6:15: error: axis 2 in axes of reduce_sum is outside f32[2,3], which has 2 axes
        %4: f32[] = reduce_sum %3 {axes=[0,2]}
                    ^
  exit 1
$ sed 's/axes=/axis=/' sum.ir > attribute.ir; jepac ir attribute.ir
  attribute.ir:6:30: error: reduce_sum has no attribute 'axis'; did you mean 'axes'?
        %4: f32[] = reduce_sum %3 {axis=[0,1]}
                                   ^
  exit 1
$ sed 's/f32\[\] = reduce/f32[2] = reduce/' sum.ir > wrong.ir; jepac ir wrong.ir
  wrong.ir:6:16: error: the type is given as f32[2], but reduce_sum results in f32[]
        %4: f32[2] = reduce_sum %3 {axes=[0,1]}
                     ^
  exit 1
$ head -c 300 /dev/zero > nul.ir; jepac ir nul.ir
  nul.ir:1:1: error: unexpected byte 0x00
      
      ^
  exit 1
$ mkdir folder.ir; jepac ir folder.ir
  jepac: error: cannot read IR file folder.ir: it is a folder
  exit 3

A folder that cannot be made or written is one error; a stage before any pass leaves nothing to write.

$ jepac ir tiny.jepa --train-step --stage plan --dump-ir tiny.jepa/dump
  jepac: error: cannot make folder tiny.jepa/dump: Not a directory
  exit 3
$ mkdir full && ln -s /dev/full full/001-simplify.ir && jepac ir tiny.jepa --train-step --stage plan --dump-ir full > plan.txt
  jepac: error: cannot write full/001-simplify.ir: No space left on device
  exit 3
$ jepac ir tiny.jepa --train-step --dump-ir early > graph.txt && ls early
  jepac: error: --dump-ir had no effect: with these arguments jepac ir does not use it
  exit 2
