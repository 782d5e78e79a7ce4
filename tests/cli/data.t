Data sets: mkidx makes a small Fashion-MNIST folder; the others are damaged.

$ mkidx good 16 16 && jepac train image.jepa -q --data good --out run && ls run

$ jepac train image.jepa -q --data nothere --out bad
$ mkidx d 16 16 && rm d/train-labels-idx1-ubyte.gz && jepac train image.jepa -q --data d --out bad
$ mkidx d 16 15 && jepac train image.jepa -q --data d --out bad
$ mkidx d 4 4 && jepac train image.jepa -q --data d --out bad
$ mkidx d 0 0 && jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && head -c 40 good/train-images-idx3-ubyte.gz > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && : > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && gzip -dc good/train-images-idx3-ubyte.gz | head -c 1000 | gzip -n > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && (gzip -dc good/train-images-idx3-ubyte.gz; echo more) | gzip -n > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && cp d/train-labels-idx1-ubyte.gz d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && echo hello > d/train-images-idx3-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ mkidx d 16 16 && (gzip -dc good/train-labels-idx1-ubyte.gz | head -c 8; printf '\12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0') | gzip -n > d/train-labels-idx1-ubyte.gz; jepac train image.jepa -q --data d --out bad
$ ls bad
