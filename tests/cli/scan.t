Loops as one operator: compiled like interpreted, derivatives like finite differences, the same bits for any number of threads.

$ for e in lstm nested swap; do jepac verify loops.jepa --entry $e -q | sed 's/; largest.*//'; done
  ok     22 passes and 26 kernels
  ok     22 passes and 8 kernels
  ok     22 passes and 8 kernels
$ for e in lstm swap; do for t in 1 2 3; do jepac run loops.jepa --entry $e --grad --random --threads $t -q --outputs $e$t.st; done; cmp ${e}1.st ${e}2.st && cmp ${e}1.st ${e}3.st && echo same; done
  same
  same
$ for e in lstm nested swap; do jepac run loops.jepa --entry $e --random | cut -c1-9; jepac run loops.jepa --entry $e --random --interp | cut -c1-9; done
  loss 34.4
  loss 34.4
  y -82.504
  y -82.504
  loss 826.
  loss 826.
$ jepac verify loops.jepa --entry lstm --check-bounds -q | sed 's/[0-9].*//'
$ sed 's/+ f32(i + 1)/+ rate * f32(i + 1)/; s/^  entry nested/  rate = param[5] = 0.5\n  entry nested/' loops.jepa >deep.jepa; jepac run deep.jepa --entry nested --grad --random
  deep.jepa:22:35: error: the derivative of a scan inside another scan is not supported
            scan i in B { total = total + rate * f32(i + 1) * mean(rows, 0) }
                                        ^
  exit 1

Dumps go on from every stage; the body is there once, whatever the number of steps.

$ for p in fuse schedule chain interleave memplan; do jepac ir loops.jepa --entry swap --after $p -o $p.ir; jepac run $p.ir --random | cut -c1-9; done
  loss 826.
  loss 826.
  loss 826.
  loss 826.
  loss 826.
$ for n in 4 40; do jepac ir loops.jepa --entry lstm --set depth=$n --stage kernels | grep -c '^k'; done
  26
  26
$ jepac ir loops.jepa --entry nested | sed -n '/scan/s/  #.*//p'
    %2: f32[5] = scan_carry %1 {loop=[1], index=[0], steps=[6]}
    %3: f32[3,5] = scan_in %0 {loop=[1]}
    %4: f32[5] = scan_carry %2 {loop=[1,2], index=[0], steps=[3]}
    %6: i64[] = scan_in %5 {loop=[1,2]}
    %14: f32[5] = scan_next %4, %13
    %15: f32[5] = scan_next %2, %14
    %16: f32[6,5] = scan_out %14 {loop=[1], steps=[6]}

Under a budget only some steps are kept, and results stay; a value that was to be computed again and cannot be.

$ jepac ir loops.jepa --entry lstm --set T=60 --grad --stage plan | head -1 | cut -d, -f1; jepac ir loops.jepa --entry lstm --set T=60 --grad --stage plan --max-memory 100K | head -1 | cut -d, -f1
  arena 114432 bytes
  arena 101120 bytes
$ for m in 1G 100K; do jepac run loops.jepa --entry lstm --set T=60 --grad --random --max-memory $m; done
  loss 149.244949
  loss 149.244949
$ jepac verify again.ir -q | sed 's/; largest.*//'
  ok     22 passes and 17 kernels

What is no number, and what verify finds, is named with the step.

$ jepac run nan_scan.jepa -q 2>&1 | grep -e first -e step
  jepac: error: step 0: loss is not finite
  nan_scan.jepa:7:15: note: the first bad value is the result of `log`, f32[]: no finite element, 1 NaN, 0 infinite of 1
  nan_scan.jepa:7:13: note: that was in step 4 of 7 of a scan (the first is 0)

$ for e in lstm nested; do JEPAC_FAULT=kernels jepac verify loops.jepa --entry $e -q | head -1; done
  faults 42 of 42 found
  faults 22 of 22 found

Layers and directions have PyTorch's names.

$ jepac verify recurrent.jepa --grad -q | cut -d' ' -f1; jepac run recurrent.jepa --random | grep small
  ok
  small 1
$ jepac ir recurrent.jepa | grep -o 'param "*[a-z]*[.]weight[a-z_0-9]*' | cut -d'"' -f2 | sort
  gru.weight_hh_l0
  gru.weight_hh_l1
  gru.weight_ih_l0
  gru.weight_ih_l1
  net.weight_hh_l0
  net.weight_hh_l0_reverse
  net.weight_hh_l1
  net.weight_hh_l1_reverse
  net.weight_ih_l0
  net.weight_ih_l0_reverse
  net.weight_ih_l1
  net.weight_ih_l1_reverse

A library that needs no jepac.

$ jepac compile loops.jepa --entry swap --name loops -o lib -q && ls lib
  libloops.a
  libloops.so
  loops.h
  loops.o
  loops.pc
  loopsConfig.cmake

What a scan cannot be.

$ tryscan() { printf 'model M() {\n  entry f(x: f32[4, 3], y: f32[5, 3], n: i64[4]) {\n    h = x[0]\n    k = 1\n%s\n    return h\n  }\n}\n' "$1" >m.jepa; jepac check m.jepa 2>&1 | grep -e error -e note; }; for body in 'scan v in [x, y] { h = h + v[0] + v[1] }' 'scan v in x { h = concat(h, v) }' 'scan v in x { h = i64(h) }' 'scan v in x { k = k + 1 }' 'scan v in x { return v }' 'scan v in h[0] { h = h + v }' 'scan v in Linear(3, 3) { h = v(h) }' 'scan v in 0 { h = h + 1 }' 'collect z = h' 'scan v in x { collect z = v; collect z = h }' 'z = stacked(3, h)'; do tryscan "    $body"; done
  m.jepa:5:15: error: a scan goes through f32[4,3] and f32[5,3] together, which have 4 and 5 steps
  m.jepa:5:19: error: `h` is f32[3] before the first step of the scan, but f32[6] after it
  m.jepa:3:5: note: the value before is f32[3], made here
  m.jepa:5:5: note: every step of this scan hands `h` on to the next
  m.jepa:5:19: error: `h` is f32[3] before the first step of the scan, but i64[3] after it
  m.jepa:3:5: note: the value before is f32[3], made here
  m.jepa:5:5: note: every step of this scan hands `h` on to the next
  m.jepa:5:5: error: the steps of this scan hand on `k`, which must be a tensor, but is 1
  m.jepa:4:5: note: `k` has this value before the first step
  m.jepa:5:5: error: the body of a scan cannot return: a step does not end the loop
  m.jepa:5:15: error: a scan runs along the first axis, but f32[] has none
  m.jepa:5:15: error: a scan runs over a tensor, a number of steps, a stack of modules or a list of them, not the module Linear (`stacked(n, module)` makes one)
  m.jepa:5:15: error: a scan has at least one step, not 0
  m.jepa:5:5: error: `collect` belongs in the body of a `scan`
  m.jepa:5:34: error: `z` is collected twice
  m.jepa:5:9: error: `stacked` takes a number and a module, not f32[3]
