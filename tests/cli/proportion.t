Code stays in proportion to the model: chains twice as long are kernels of at most about twice as many lines, gradients
included, and mean the same as the graph.

$ for e in steps halves softmaxes sines gates windows; do for n in 24 48; do jepac ir chains.jepa --entry $e --grad --stage kernels --set n=$n | grep -c '^ '; done | awk -v e=$e 'NR > 1 && $1 > 2.3 * last { print e, last, $1 } { last = $1 }'; done
$ for e in steps halves softmaxes sines gates windows; do jepac verify chains.jepa --entry $e --set n=12 -q | sed 's/[0-9].*//'; done
  ok     
  ok     
  ok     
  ok     
  ok     
  ok     
