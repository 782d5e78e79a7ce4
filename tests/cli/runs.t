Runs beside each other: what differs, the last and the best figures; a page, CSV, event files.

$ mkdir e && mkarrays e/train.npz x=f4:30x4 label=i8:30 && mkarrays e/test.npz x=f4:13x4 label=i8:13
$ sweep="jepac sweep own.jepa --data e --set optimizer.lr=1e-1,3e-2 --set seed=1..2 --set validate=3 --epochs 4 --jobs 2 --out sw"; $sweep 2>&1 | sed 's/^[1-4] of 4/N of 4/' | sort; ls sw/*.html
  
  N of 4  sw/optimizer.lr=1e-1,seed=1
  N of 4  sw/optimizer.lr=1e-1,seed=2
  N of 4  sw/optimizer.lr=3e-2,seed=1
  N of 4  sw/optimizer.lr=3e-2,seed=2
  optimizer.lr=1e-1,seed=1                 0.1     1    12  0.26814   0.23408         1  loss 0.23408
  optimizer.lr=1e-1,seed=2                 0.1     2    12  0.26146   0.21527         1  loss 0.21527
  optimizer.lr=3e-2,seed=1                0.03     1    12  0.69781   0.70931   0.84615  loss 0.70931
  optimizer.lr=3e-2,seed=2                0.03     2    12   0.7244   0.67197         1  loss 0.67197
  picture: sw/compare.html
  run                       optimizer.adamw.lr  seed  step     loss  val.loss  val.top1          best
  sw/compare.html

The same command again goes on: nothing is left to do, and the logs stay as they are but for the header of each process.

$ cat sw/*/run.jsonl | grep '"step"' > before; rm -r 'sw/optimizer.lr=3e-2,seed=2'; jepac sweep own.jepa -q --data e --set 'optimizer.lr = 1e-1, 3e-2' --set seed=1..2 --set 'validate = 3' --epochs 4 --out sw | wc -l; cat sw/*/run.jsonl | grep '"step"' | sed 's/"images.*//' > after; sed 's/"images.*//' before | cmp - after
  7
$ jepac runs sw | sed -E 's/20[0-9-]+T[0-9:]+Z/TIME/'
  run                          begun                 model                        step        loss  best                  state
  sw/optimizer.lr=1e-1,seed=1  TIME  Net                         12/12     0.26814  loss 0.23408          done
  sw/optimizer.lr=1e-1,seed=2  TIME  Net                         12/12     0.26146  loss 0.21527          done
  sw/optimizer.lr=3e-2,seed=1  TIME  Net                         12/12     0.69781  loss 0.70931          done
  sw/optimizer.lr=3e-2,seed=2  TIME  Net                         12/12      0.7244  loss 0.67197          done
$ jepac train tiny.jepa -q --steps 4 --out tiny --tensorboard && jepac compare tiny sw/*1e-1,seed=1 -o c.html --csv c.csv --tensorboard tb | cut -c 1-30; ls tb tb/tiny tiny | grep -v previous | sed 's/tfevents.*/tfevents/'; head -n 3 c.csv | cut -c 1-20
  jepac: warning: these are runs of different models: tiny is of Tiny, sw/optimizer.lr=1e-1,seed=1 of Net
  run                           
  model.Tiny.width              
  model.Tiny.classes            
  data.synthetic.views          
  data.synthetic.size           
  data.synthetic.channels       
  data.synthetic.action_dim     
  data.synthetic.classes        
  data.synthetic.features       
  data.synthetic.tokens         
  data.synthetic.length         
  optimizer.adamw.lr.warmup_cosi
  optimizer.adamw.lr.warmup_cosi
  batch                         
  epochs                        
  B                             
  model file                    
  seed                          
  model.Net.width               
  model.Net.classes             
  data.arrays.fields            
  data.arrays.test              
  optimizer.adamw.lr            
  validate                      
  --data                        
  step                          
  loss                          
  val.loss                      
  val.top1                      
  best                          
  
  picture: c.html
  tb:
  sw
  tiny
  
  tb/tiny:
  events.out.tfevents
  
  tiny:
  checkpoint.safetensors
  events.out.tfevents
  run.jsonl
  run.svg
  run,step,name,value
  tiny,1,loss,2.366290
  tiny,2,loss,2.249660
$ jepac compare tiny -o c.html --tensorboard tb/tiny/..; jepac compare tiny sw -o c.html --tensorboard tb | tail -n 1 | sed 's/.*\(0.67197\)/\1/'
  run   step    loss
  tiny     4  2.3773
  jepac: error: tb/tiny/../tiny already has event files: remove them or choose another folder
  jepac: warning: these are runs of different models: tiny is of Tiny, sw/optimizer.lr=1e-1,seed=1 of Net
  jepac: error: tb/tiny already has event files: remove them or choose another folder
  0.67197
$ grep -c 'const data = {' c.html; jepac report tiny && grep -o 'optimizer.adamw.lr.warmup_cosine.warmup<td>10' tiny/report.html
  1
  tiny/report.html
  optimizer.adamw.lr.warmup_cosine.warmup<td>10
$ echo old > tiny/report.html; jepac report tiny; cat tiny/report.html; rm tiny/report.html; jepac report sw; printf '{"recipe": {}}\n' > sw/run.jsonl; jepac report sw && grep -o 'Step 0; no figures yet' sw/report.html; rm sw/run.jsonl sw/report.html
  jepac: error: tiny/report.html has no place for curves: `jepac eval tiny` writes it anew
  old
  jepac: error: sw holds 4 runs: a report is of one
  sw/report.html
  Step 0; no figures yet
$ sed -n 2p tiny/run.jsonl | tr -d '\n' | sed -E 's/"(time|version|host)": "[^"]*"/"\1": ./g'; jepac train tiny.jepa -q --steps 6 --out tiny --resume 2>/dev/null; grep -c '"run": 4, "time"' tiny/run.jsonl
  {"run": 0, "time": ., "version": ., "command": ["jepac", "train", "tiny.jepa", "-q", "--steps", "4", "--out", "tiny", "--tensorboard"], "model": "DIR/tiny.jepa", "data": "", "steps": 4, "steps_per_epoch": 16, "samples": 256, "seed": 0, "host": .}1

What cannot be.

$ jepac compare nothere; mkdir none; jepac runs none; mkdir bad; echo hello > bad/run.jsonl; jepac compare bad
  jepac: error: nothere is no run and holds none: there is no run.jsonl
  jepac: error: none is no run and holds none: there is no run.jsonl
  jepac: error: bad/run.jsonl is no log of a run: its first line is no recipe
  exit 3
$ jepac sweep own.jepa --set optimizer.lr=1,,2; jepac sweep own.jepa --set width=4,x; jepac sweep own.jepa --set seed=1,2 --set seed=3
  jepac: error: --set optimizer.lr=1,,2: a value is empty
  own.jepa:4:16: error: `inputs` of Linear must be a number, but is "x"
        net = Linear(width, classes)
                     ^
  jepac: note: this is with --set width=x
  jepac: note: with the settings width=x
  jepac: error: --set seed is given twice
  exit 2
$ jepac sweep own.jepa -q --data nothere --set seed=1,2 --out failing; cat failing/*1.log
  jepac: error: 2 of 2 runs failed; the first with exit 3: their messages are in failing/*.log
  jepac: error: nothere does not exist
$ jepac sweep own.jepa -q --data e --set optimizer.lr=1e-2,foo --out early 2>&1 | tail -n 2; ls early
                      ^
  jepac: note: this is with --set optimizer.lr=foo
  ls: cannot access 'early': No such file or directory
  exit 2
$ mkdir -p some/bad && cp -r tiny some/tiny && : > some/bad/run.jsonl; jepac runs some | sed -E 's/20[0-9-]+T[0-9:]+Z/TIME/'; jepac runs some/bad; jepac compare some -o own.jepa; jepac train tiny.jepa -q --steps 2 --out tb/tiny --tensorboard; ls tb/tiny | sed 's/tfevents.*/tfevents/'
  jepac: warning: some/bad/run.jsonl is empty: passed over
  run        begun                 model                        step        loss  best                  state
  some/tiny  TIME  Tiny                          6/6      2.3737  -                     done
  jepac: error: some/bad/run.jsonl is empty
  jepac: warning: some/bad/run.jsonl is empty: passed over
  jepac: error: -o own.jepa: the page is a file NAME.html
  jepac: error: tb/tiny already has event files: remove them or choose another folder
  events.out.tfevents

What differs: data, first states, precision, the model's file, what was changed on the way.

$ mkdir f; mkarrays f/train.npz x=f4:30x4 label=i8:30:2,1,0; cp own.jepa own2.jepa; t="jepac train -q --steps 3"; $t own.jepa --data e --out di/a; $t own.jepa --data f --out di/b; $t own2.jepa --data e --params di/a --out di/c; $t own.jepa --data e --precision bf16 --out di/d; jepac train own.jepa -q --steps 6 --out di/a --resume --accept-changes --set optimizer.lr=0.5 2>/dev/null; jepac compare di -o di.html | sed -E 's#[^ ]*/([a-z])#\1#g; s/  +/  /g'
  run  optimizer.adamw.lr  --data  model file  --params  --precision  step  loss
  a  0.1, then 0.5  e  own.jepa  -  -  6  0.20594
  b  0.1  f  own.jepa  -  -  3  0.9697
  c  0.1  e  own2.jepa  a  -  3  0.58393
  d  0.1  e  own.jepa  -  bf16  3  0.88585
  
  picture: di.html

A sweep with given weights begins its runs with them, and goes on with those that have begun.

$ for i in 3 6; do jepac sweep own.jepa -q --data e --set seed=1,2 --steps $i --params di/b --out warm > warm.txt; echo $?; done; grep -c 6 warm.txt
  0
  0
  2

A table that would be too wide has a row a setting.

$ jepac train tiny.jepa -q --steps 3 --out wide/a 2>/dev/null; jepac train own.jepa -q --data e --steps 3 --out wide/b; jepac compare wide -o wide.html 2>&1 | sed -E 's#[^ ]*/([a-z])#\1#g; s/  +/  /g'
  run  a  b
  model.Tiny.width  16  -
  model.Tiny.classes  10  -
  data.synthetic.views  1  -
  data.synthetic.size  32  -
  data.synthetic.channels  3  -
  data.synthetic.action_dim  0  -
  data.synthetic.classes  10  -
  data.synthetic.features  8  -
  data.synthetic.tokens  0  -
  data.synthetic.length  256  -
  optimizer.adamw.lr.warmup_cosine.peak  0.001  -
  optimizer.adamw.lr.warmup_cosine.warmup  10  -
  batch  16  8
  epochs  2  20
  B  16  8
  model file  tiny.jepa  own.jepa
  model.Net.width  -  4
  model.Net.classes  -  3
  data.arrays.fields  -  [{"array":{"name":"x","shape":[4],"class...
  data.arrays.test  -  0
  optimizer.adamw.lr  -  0.1
  --data  -  e
  step  3  3
  loss  2.2561  0.88585
  
  picture: wide.html
  jepac: warning: these are runs of different models: a is of Tiny, b of Net
