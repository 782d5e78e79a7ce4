Loops as one operator: compiled like interpreted, derivatives like finite differences, the same bits for any number of threads.

$ for e in lstm nested swap; do jepac verify loops.jepa --entry $e -q | sed 's/; largest.*//'; done
$ for e in lstm swap; do for t in 1 2 3; do jepac run loops.jepa --entry $e --grad --random --threads $t -q --outputs $e$t.st; done; cmp ${e}1.st ${e}2.st && cmp ${e}1.st ${e}3.st && echo same; done
$ for e in lstm nested swap; do jepac run loops.jepa --entry $e --random | cut -c1-9; jepac run loops.jepa --entry $e --random --interp | cut -c1-9; done
$ jepac verify loops.jepa --entry lstm --check-bounds -q | sed 's/[0-9].*//'
$ jepac run loops.jepa --entry nested --grad --random

Dumps go on from every stage; the body is there once, whatever the number of steps.

$ for p in fuse schedule chain interleave memplan; do jepac ir loops.jepa --entry swap --after $p -o $p.ir; jepac run $p.ir --random | cut -c1-9; done
$ for n in 4 40; do jepac ir loops.jepa --entry lstm --set depth=$n --stage kernels | grep -c '^k'; done
$ jepac ir loops.jepa --entry nested | sed -n '/scan/s/  #.*//p'

A library that needs no jepac.

$ jepac compile loops.jepa --entry swap --name loops -o lib -q && ls lib

What a scan cannot be.

$ tryscan() { printf 'model M() {\n  entry f(x: f32[4, 3], y: f32[5, 3], n: i64[4]) {\n    h = x[0]\n    k = 1\n%s\n    return h\n  }\n}\n' "$1" >m.jepa; jepac check m.jepa 2>&1 | grep -e error -e note; }; for body in 'scan v in [x, y] { h = h + v[0] + v[1] }' 'scan v in x { h = concat(h, v) }' 'scan v in x { h = i64(h) }' 'scan v in x { k = k + 1 }' 'scan v in x { return v }' 'scan v in h[0] { h = h + v }' 'scan v in Linear(3, 3) { h = v(h) }' 'scan v in 0 { h = h + 1 }' 'collect z = h' 'scan v in x { collect z = v; collect z = h }' 'z = stack(3, h)'; do tryscan "    $body"; done
