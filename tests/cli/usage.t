Wrong command lines: exit 2, one diagnostic, a hint where a name is close.

$ jepac
  usage: jepac COMMAND ...
  
    check    MODEL            parse, shapes, memory and FLOP estimate
    train    MODEL            compile and train
    eval     RUN|MODEL        probes and protocols on a checkpoint
    sweep    MODEL            train with each combination of settings, and compare
    runs     DIR...           list the runs in folders
    compare  RUN...           settings that differ, figures and curves of runs
    report   RUN              curves and recipe of a run as a page
    recipes  [NAME]           the paper's models on its data sets, by name
    run      MODEL|FILE.ir    run one entry on given tensors
    compile  MODEL            a library that needs no jepac
    ir       MODEL|FILE.ir    print a stage of the compiler
    opt      FILE.ir          run passes on textual IR
    explain  MODEL|FILE.ir    memory, time and fusion per model line
    verify   MODEL|FILE.ir    compare passes, JIT and interpreter
    bench    MODEL            time the training step
    render                    write a data set of rendered objects in known rotations
    reduce   MODEL -- CMD     smallest model file that still fails
    ckpt     ls|check|diff|convert list, check, compare and convert tensor files
    import   MODEL.onnx       an ONNX model as a model file and its states
    export   MODEL            one entry as an ONNX model
    fmt      MODEL...         lay out model files; - is standard input
    lsp                       language server for editors, on standard input and output
    manual   [PART]           operators, functions, library, protocols; man, bash, zsh, fish
  
  jepac COMMAND -h or jepac help COMMAND lists a command's options; jepac version.
  exit 2
$ jepac --version
  jepac 0.2
$ jepac trian tiny.jepa
  jepac: error: unknown command 'trian'
  jepac: note: did you mean 'train'?
  exit 2
$ jepac frobnicate
  jepac: error: unknown command 'frobnicate'
  exit 2
$ jepac compile tiny.jepa -o out
  out/tiny.o
  out/libtiny.a
  out/tiny.pc
  out/tinyConfig.cmake
  out/tiny.h
  out/libtiny.so
$ jepac check
  jepac: error: usage is jepac check MODEL
  exit 2
$ jepac check tiny.jepa tiny.jepa
  jepac: error: unexpected argument 'tiny.jepa': usage is jepac check MODEL
  exit 2
$ jepac run tiny.jepa --inptus x.safetensors
  jepac: error: unknown option '--inptus' for jepac run
  jepac: note: did you mean '--inputs'?
  exit 2
$ jepac run tiny.jepa --inputs
  jepac: error: --inputs needs a value: FILE
  exit 2
$ jepac check tiny.jepa --grad
  jepac: error: jepac check takes no --grad: it would have no effect
  jepac: note: it is an option of jepac run, ir, explain and verify
  exit 2
$ jepac run tiny.jepa --grad=yes
  jepac: error: --grad takes no value
  exit 2
$ jepac check tiny.jepa -x
  jepac: error: unknown option '-x' for jepac check
  jepac: note: 'jepac check -h' lists the options
  exit 2
$ jepac bench tiny.jepa --seed minus
  jepac: error: --seed needs a whole number, not 'minus'
  exit 2
$ jepac bench tiny.jepa --seed -1
  jepac: error: --seed needs a whole number, not '-1'
  exit 2
$ jepac bench tiny.jepa --threads 0
  jepac: error: --threads needs a positive whole number, not '0'
  exit 2
$ jepac bench tiny.jepa --threads 100000
  jepac: error: --threads is at most 1024
  exit 2
$ jepac train tiny.jepa --steps 1e3
  jepac: error: --steps needs a whole number, not '1e3'
  exit 2
$ jepac train tiny.jepa --steps 5 --epochs 1
  jepac: error: --steps and --epochs exclude each other
  exit 2
$ jepac train tiny.jepa --max-memory lots
  jepac: error: --max-memory needs a size such as 512M or 2G, not 'lots'
  exit 2
$ jepac train tiny.jepa --progress fancy
  jepac: error: --progress is one of auto|plain|none, not 'fancy'
  exit 2
$ jepac train tiny.jepa --tune often
  jepac: error: --tune is one of off|fast|full, not 'often'
  exit 2
$ jepac check tiny.jepa --tune full
  jepac: error: jepac check takes no --tune: it would have no effect
  jepac: note: it is an option of jepac train, eval, run and bench
  exit 2
$ jepac run tiny.jepa --mode test
  jepac: error: --mode is one of train|eval, not 'test'
  exit 2
$ jepac run tiny.jepa --set width
  jepac: error: --set needs NAME=VALUE, not 'width'
  exit 2
$ jepac run tiny.jepa --set =3
  jepac: error: --set needs NAME=VALUE, not '=3'
  exit 2
$ jepac check tiny.jepa --precision f64
  jepac: error: --precision is one of f32|bf16|f16, not 'f64'
  exit 2
$ jepac ir tiny.jepa --stage assembly
  jepac: error: --stage is one of graph|grad|kernels|plan|llvm|asm, not 'assembly'
  exit 2
$ jepac ir tiny.jepa --format html
  jepac: error: --format is one of text|dot|json, not 'html'
  exit 2
$ jepac ir tiny.jepa --after fuze
  jepac: error: no pass is called 'fuze'
  jepac: note: did you mean 'fuse'?
  exit 2
$ jepac ir tiny.jepa --after cse --stage plan
  jepac: error: --after and --stage exclude each other
  exit 2
$ jepac ir tiny.jepa --entry forward --train-step
  jepac: error: --entry and --train-step exclude each other
  exit 2
$ jepac opt sum.ir
  jepac: error: jepac opt needs --passes A,B,C
  exit 2
$ jepac opt sum.ir --passes cse,dec
  jepac: error: no pass is called 'dec'
  jepac: note: did you mean 'dce'?
  exit 2
$ jepac run sum.ir --steps 0
  jepac: error: --steps needs at least 1
  exit 2
$ jepac run tiny.jepa --entry train_step --grad
  jepac: error: --grad belongs to an entry, not to train_step
  exit 2
$ jepac bench tiny.jepa --steps 0
  jepac: error: --steps needs at least 1
  exit 2

Help goes to standard output.

$ jepac check -h | head -2
  usage: jepac check MODEL [options]
  parse, shapes, memory and FLOP estimate
$ jepac help | tail -1
  jepac COMMAND -h or jepac help COMMAND lists a command's options; jepac version.

An option without effect is an error, by the command or by what else is on the line.

$ jepac fmt tiny.jepa --precision bf16 --threads 4
  jepac: error: jepac fmt takes no --precision: it would have no effect
  jepac: note: it is an option of jepac check, train, eval, sweep, run, compile, ir, explain, verify and bench
  exit 2
$ jepac ir tiny.jepa --set B=4 --conv direct --max-memory 1G >text
  jepac: error: --conv had no effect: with these arguments jepac ir does not use it
  jepac: error: --max-memory had no effect: with these arguments jepac ir does not use it
  exit 2
$ jepac ir tiny.jepa --set B=4 -o a.ir; jepac run a.ir --random --set B=3 -q
  jepac: error: --set had no effect: with these arguments jepac run does not use it
  exit 2
$ jepac run a.ir --random --interp --threads 2 --conv direct -q
  jepac: error: --threads had no effect: with these arguments jepac run does not use it
  jepac: error: --conv had no effect: with these arguments jepac run does not use it
  exit 2
$ jepac explain tiny.jepa --fusion --threads 2 >text
  jepac: error: --threads had no effect: with these arguments jepac explain does not use it
  exit 2
$ jepac train tiny.jepa -q --data .
  jepac: error: --data has no effect: synthetic data are made, not read
  exit 2
$ jepac opt a.ir --passes cse --entry forward --format json | cut -c1-30
  {"graph":"forward","nodes":[{"
