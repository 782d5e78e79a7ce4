jepac verify: nothing wrong, then a fault put into each pass and into a kernel (JEPAC_FAULT exists for this test), found and named.

$ jepac verify tiny.jepa | tail -1 | cut -d';' -f1 | sed 's/[0-9][0-9]* passes and [0-9]* kernels/N passes and N kernels/'
  ok     N passes and N kernels
$ jepac verify tiny.jepa | grep -c -e '^grad  *4 .*ok' -e '^pass  *autodiff  *ok' -e '^pass  *memplan  *ok' -e '^code '
  4
$ for p in simplify cse autodiff strip; do JEPAC_FAULT=$p jepac verify tiny.jepa -q 2>&1 | grep -o -e "pass $p changes" -e 'first wrong value: .* tiny.jepa:[0-9]*'; done | sed 's/: [a-z]* in the [a-z]* part of/: X in/'
  pass simplify changes
  first wrong value: X in tiny.jepa:18
  pass cse changes
  first wrong value: X in tiny.jepa:18
  pass autodiff changes
  first wrong value: X in tiny.jepa:18
  pass strip changes
  first wrong value: X in tiny.jepa:18
$ JEPAC_FAULT=memplan jepac verify tiny.jepa -q 2>&1 | grep -o -e 'pass memplan gives' -e 'the same memory'
  pass memplan gives
  the same memory
$ JEPAC_FAULT=kernel=3 jepac verify tiny.jepa -q > out.txt 2>&1; echo $?; grep -o -e 'kernel k3_[a-z_]* computes' -e 'part of tiny.jepa:[0-9]*' out.txt
  5
  kernel k3_reduce_sum computes
  part of tiny.jepa:9
$ JEPAC_FAULT=nothing jepac verify tiny.jepa -q
  jepac: error: JEPAC_FAULT names no pass that changed something: 'nothing'
  exit 2
$ jepac verify sum.ir -q | sed 's/;.*//'
  ok     1 passes and 1 kernels
$ jepac verify $ROOT/models/seq_jepa.jepa --set batch=2048 -q 2>&1 | head -1 | sed 's/takes .* even/takes X even/'
  jepac: error: verify interprets the model, and this one takes X even without its gradients

An error in jepac leaves a folder that shows it again.

$ JEPAC_FAULT=bug jepac verify $ROOT/models/mlp.jepa --set batch=4 2>&1 | sed 's/bug-[0-9]*/bug-N/'; (cd jepac-bug-* && find . -type f | sort; JEPAC_FAULT=bug ./run.sh > out.txt 2>&1; echo $?)
  jepac: internal error: JEPAC_FAULT asks for one
  jepac: this is an error in jepac; jepac-bug-N/run.sh shows it again
  ./mlp.jepa
  ./nn/mlp.jepa
  ./run.sh
  70
