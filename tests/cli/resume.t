Runs that are stopped, killed, damaged or met by another: nothing is lost, and nothing changes without a word.

The checkpoint before the newest one stays; a damaged one is named, and the run goes on from the one before.

$ jepac train tiny.jepa -q --steps 4 --out run && jepac train tiny.jepa -q --steps 8 --out run --resume; ls run; jepac ckpt check run
  jepac: warning: run goes on from step 4 with changes
  jepac: note: length: 4, now 8 steps: schedules that depend on it are stretched
  checkpoint.safetensors
  previous.safetensors
  run.jsonl
  run.svg
  run/checkpoint.safetensors: 12 tensors, all as written
  run/previous.safetensors: 12 tensors, all as written
$ cp -r run bent && flip bent/checkpoint.safetensors -30; jepac ckpt check bent
  bent/previous.safetensors: 12 tensors, all as written
  jepac: error: bent/checkpoint.safetensors is damaged: the checksum of optimizer.net.2.bias.v does not fit
  exit 3
$ jepac train tiny.jepa -q --steps 12 --out bent --resume 2>&1 | sed -E 's/(of|from) step [0-9]+/\1 step N/; s/length: [0-9]+/length: K/'; jepac train tiny.jepa -q --steps 12 --out run --resume; cmp run/checkpoint.safetensors bent/checkpoint.safetensors && echo same
  jepac: warning: bent/checkpoint.safetensors is damaged: the checksum of optimizer.net.2.bias.v does not fit
  jepac: note: bent/previous.safetensors, of step N, is taken instead
  jepac: warning: bent goes on from step N with changes
  jepac: note: length: K, now 12 steps: schedules that depend on it are stretched
  jepac: warning: run goes on from step 8 with changes
  jepac: note: length: 8, now 12 steps: schedules that depend on it are stretched
  same
The damaged file is set aside, so that it never takes the place of the whole one before it.

$ ls bent; jepac ckpt check bent; cmp -s bent/damaged.safetensors bent/previous.safetensors || echo "previous is another"
  checkpoint.safetensors
  damaged.safetensors
  previous.safetensors
  run.jsonl
  run.svg
  bent/checkpoint.safetensors: 12 tensors, all as written
  bent/previous.safetensors: 12 tensors, all as written
  previous is another
$ cp -r run lost && rm lost/checkpoint.safetensors; jepac train tiny.jepa -q --steps 14 --out lost --resume 2>&1 | sed -E 's/(of|from) step [0-9]+/\1 step N/; s/length: [0-9]+/length: K/'
  jepac: warning: cannot read lost/checkpoint.safetensors: No such file or directory
  jepac: note: lost/previous.safetensors, of step N, is taken instead
  jepac: warning: lost goes on from step N with changes
  jepac: note: length: K, now 14 steps: schedules that depend on it are stretched
$ cp -r run said && sed -i 's/\\"step\\": *12/\\"step\\":93/' said/checkpoint.safetensors; jepac ckpt check said/checkpoint.safetensors
  jepac: error: said/checkpoint.safetensors is damaged: the checksum of the header does not fit
  exit 3
$ cp -r run both && flip both/checkpoint.safetensors -30 && flip both/previous.safetensors -40; jepac train tiny.jepa -q --steps 14 --out both --resume
  jepac: error: both/checkpoint.safetensors is damaged: the checksum of optimizer.net.2.bias.v does not fit
  jepac: note: both/previous.safetensors is damaged: the checksum of optimizer.net.2.bias.v does not fit
  exit 3
$ jepac ckpt check tiny.jepa
  jepac: error: tiny.jepa: not a safetensors file, or truncated: its header claims 7809643570066956323 bytes of a file of 548
  exit 3
$ mkdir none; jepac ckpt check none
  jepac: error: none holds neither checkpoint.safetensors nor previous.safetensors
  exit 3

Killed between its two renames a run has one checkpoint under both names.

$ cp -r run twice; ln -f twice/checkpoint.safetensors twice/previous.safetensors; jepac train tiny.jepa -q --steps 12 --out twice --resume; ls twice
  checkpoint.safetensors
  previous.safetensors
  run.jsonl
  run.svg

What has changed is listed, and refused unless accepted; another length is only said.

$ cp -r run few; jepac train tiny.jepa --steps 5 --out few --resume --progress none 2>/dev/null | grep -v -e memory -e picture
  nothing to do    it has 12 steps, and 5 were asked for
$ jepac train tiny.jepa -q --steps 14 --out run --resume --params nonexist.safetensors; jepac train tiny.jepa -q --steps 14 --out fresh --resume --params run
  jepac: error: --params begins a run, but run goes on from its own checkpoint
  jepac: note: leave --params out, or begin a run in another --out
$ jepac train tiny.jepa -q --steps 20 --out run --resume --set epochs=3
  jepac: warning: run goes on from step 12 with changes
  jepac: note: length: 12, now 20 steps: schedules that depend on it are stretched
$ cp -r run other; jepac train tiny.jepa -q --steps 24 --out other --resume --set data.length=128
  jepac: error: other was trained otherwise up to step 20
  jepac: note: data.synthetic.length: 256, now 128
  jepac: note: length: 20, now 24 steps: schedules that depend on it are stretched
  jepac: note: --accept-changes goes on all the same, and the log will say so
  exit 2
$ jepac train tiny.jepa -q --steps 24 --out other --resume --set data.length=128 --accept-changes; grep resumed other/run.jsonl
  jepac: warning: other goes on from step 20 with changes
  jepac: note: data.synthetic.length: 256, now 128
  jepac: note: length: 20, now 24 steps: schedules that depend on it are stretched
  {"resumed": 4, "changes": {"length":["4","8"]}}
  {"resumed": 8, "changes": {"length":["8","12"]}}
  {"resumed": 12, "changes": {"length":["12","20"]}}
  {"resumed": 20, "changes": {"data.synthetic.length":["256","128"],"length":["20","24"]}}
$ cp -r run rate; jepac train tiny.jepa -q --steps 24 --out rate --resume --set optimizer.lr=1e-4 2>&1 | sed 's/{.*}/{...}/'
  jepac: error: rate was trained otherwise up to step 20
  jepac: note: optimizer.adamw.lr: {...}, now 0.0001
  jepac: note: --accept-changes goes on all the same, and the log will say so

Another model under the same name shows in no setting; the log says it too.

$ cp -r run code; sed 's/ReLU/Tanh/' tiny.jepa >code.jepa; cmp -s code.jepa tiny.jepa || jepac train code.jepa -q --steps 24 --out code --resume --accept-changes; grep resumed code/run.jsonl | tail -1 | sed 's/[0-9a-f]\{16\}/HASH/g'
  jepac: warning: code goes on from step 20 with changes
  jepac: note: the model file or one that it uses was edited: steps have other bits
  jepac: note: length: 20, now 24 steps: schedules that depend on it are stretched
  {"resumed": 20, "changes": {"plan":["HASH","HASH"],"length":["20","24"]}}

The seed of a run is its own, named or not.

$ for o in whole named bare; do jepac train tiny.jepa -q --steps 4 --seed 5 --out $o; done; jepac train tiny.jepa -q --steps 9 --out whole --resume --seed 5; jepac train tiny.jepa -q --steps 9 --out bare --resume; cmp whole/checkpoint.safetensors bare/checkpoint.safetensors && echo same
  jepac: warning: whole goes on from step 4 with changes
  jepac: note: length: 4, now 9 steps: schedules that depend on it are stretched
  jepac: warning: bare goes on from step 4 with changes
  jepac: note: length: 4, now 9 steps: schedules that depend on it are stretched
  same

A folder belongs to one run; what a killed one left behind is removed, its lock is not in the way.

$ jepac train tiny.jepa -q --steps 100000000 --out busy 2>first & p=$!; for i in $(seq 500); do [ -e busy/run.jsonl ] && break; sleep 0.02; done; jepac train tiny.jepa -q --steps 4 --out busy --resume 2>&1 | sed "s/process $p on .*/process P on HOST/"; kill -9 $p; wait $p; : > busy/checkpoint.safetensors.tmp-abc123; jepac train tiny.jepa -q --steps 0 --out busy --resume 2>/dev/null; ls busy | grep -c -e tmp -e lock
  jepac: error: busy is in use by another run: process P on HOST
  Killed
  0
  exit 1

SIGHUP and SIGTERM write a checkpoint, however often they come; what is ignored from outside stays ignored.

$ for s in HUP TERM; do jepac train tiny.jepa -q --steps 100000000 --out $s 2>words & p=$!; for i in $(seq 500); do [ -e $s/run.jsonl ] && break; sleep 0.02; done; kill -$s $p; kill -$s $p; wait $p; echo "exit $?"; sed 's/step [0-9]* of/step N of/' words; ls $s | grep -c ^checkpoint; done
  exit 129
  jepac: error: stopped by SIGHUP at step N of 100000000; --resume goes on
  1
  exit 143
  jepac: error: stopped by SIGTERM at step N of 100000000; --resume goes on
  1

A log that is a link is not followed.

$ mkdir trap; echo keep > precious; ln -s ../precious trap/run.jsonl; jepac train tiny.jepa -q --steps 4 --out trap; cat precious
  jepac: error: cannot write trap/run.jsonl: it is a symbolic link
  keep
