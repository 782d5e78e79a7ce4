Monitors stop a run whose values leave their bounds: exit 7, the states and the log are kept.

$ jepac train watched.jepa -q --out run && grep -c '"monitor.rank"' run/run.jsonl
  21
$ jepac train watched.jepa -q --out flat --set scale=0
  watched.jepa:19:28: error: step 8: `spread` is 0, outside 0.3..1.1
        monitor after 2 epochs { spread = embedding_std(z) in 0.3..1.1 }
                                 ^
  jepac: note: the run stops here; flat holds the states and the log
  exit 7
$ ls flat | grep -v previous && grep -c '"step"' flat/run.jsonl
  checkpoint.safetensors
  run.jsonl
  9
$ jepac train watched.jepa -q --out late --set scale=0 --set data.length=160
  watched.jepa:19:28: error: step 20: `spread` is 0, outside 0.3..1.1
        monitor after 2 epochs { spread = embedding_std(z) in 0.3..1.1 }
                                 ^
  jepac: note: the run stops here; late holds the states and the log
  exit 7
$ grep -o '"monitor.spread":[^]]*]' run/run.jsonl
  "monitor.spread":[0.29999999999999999,1.1000000000000001]
