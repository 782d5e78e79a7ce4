Data sets: mkidx makes a small Fashion-MNIST folder; the others are damaged.

$ mkidx good 16 16 && jepac train image.jepa -q --data good --out run && ls run
  checkpoint.safetensors
  run.jsonl
  run.svg

$ rm -rf bad; jepac train image.jepa -q --data nothere --out bad
  jepac: error: Fashion-MNIST is not in nothere: it has no train-images-idx3-ubyte.gz
  jepac: note: expected: the four IDX files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each perhaps with .gz, as in the Debian package dataset-fashion-mnist
  exit 3
$ rm -rf bad; mkidx d 16 16 && rm d/train-labels-idx1-ubyte.gz && jepac train image.jepa -q --data d --out bad
  jepac: error: cannot read d/train-labels-idx1-ubyte.gz: No such file or directory
  exit 3
$ rm -rf bad; mkidx d 16 15 && jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz holds 16 images, but d/train-labels-idx1-ubyte.gz holds 15 labels
  exit 3
$ rm -rf bad; mkidx d 4 4 && jepac train image.jepa -q --data d --out bad
  image.jepa:18:15: error: a batch of 8, but fashion_mnist has 4 samples
        data      = fashion_mnist()
                    ^
  exit 1
$ rm -rf bad; mkidx d 0 0 && jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz holds no images
  exit 3
$ rm -rf bad; mkidx d 16 16 && head -c 40 good/train-images-idx3-ubyte.gz > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz: truncated: its header declares 12544 bytes but it holds 3357
  exit 3
$ rm -rf bad; mkidx d 16 16 && : > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz: no IDX file of unsigned bytes
  exit 3
$ rm -rf bad; mkidx d 16 16 && gzip -dc good/train-images-idx3-ubyte.gz | head -c 1000 | gzip -n > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz: truncated: its header declares 12544 bytes but it holds 984
  exit 3
$ rm -rf bad; mkidx d 16 16 && (gzip -dc good/train-images-idx3-ubyte.gz; echo more) | gzip -n > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz: longer than the 12544 bytes its header declares
  exit 3
$ rm -rf bad; mkidx d 16 16 && cp d/train-labels-idx1-ubyte.gz d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz: has 1 dimensions, expected 3
  exit 3
$ rm -rf bad; mkidx d 16 16 && echo hello > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-images-idx3-ubyte.gz: no IDX file of unsigned bytes
  exit 3
$ rm -rf bad; mkidx d 16 16 && (gzip -dc good/train-labels-idx1-ubyte.gz | head -c 8; printf '\12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0') | gzip -n > d/train-labels-idx1-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-labels-idx1-ubyte.gz: label 10 of sample 0 is not below 10
  exit 3
$ ls bad
  ls: cannot access 'bad': No such file or directory
  exit 2
