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
  jepac: error: d/train-images-idx3-ubyte.gz: not an IDX file of unsigned bytes
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
  jepac: error: d/train-images-idx3-ubyte.gz: not an IDX file of unsigned bytes
  exit 3
$ rm -rf bad; mkidx d 16 16 && (gzip -dc good/train-labels-idx1-ubyte.gz | head -c 8; printf '\12\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0') | gzip -n > d/train-labels-idx1-ubyte.gz; jepac train image.jepa -q --data d --out bad
  jepac: error: d/train-labels-idx1-ubyte.gz: label 10 of sample 0 is not below 10
  exit 3
$ ls bad
  ls: cannot access 'bad': No such file or directory
  exit 2

Pictures and archives: sets of the layouts that the readers expect, then damaged. What is skipped, when a recipe allows it, is counted.

$ mkpictures p; for k in folder tiny cifar stl 3d; do ls -d p/$k; done
  p/folder
  p/tiny
  p/cifar
  p/stl
  p/3d
$ for k in folder tiny cifar stl 3d; do onpictures $k --data p/$k --out runs/$k || exit; done; ls runs
  3d
  cifar
  folder
  stl
  tiny
$ rm -rf x; cp -r p/folder x && truncate -s 300 x/train/a/1.jpg; onpictures folder --data x --out bad --set seed=1
  jepac: error: x/train/a/1.jpg: Premature end of JPEG file
  exit 3
$ onpictures skipping --data x --out skipped --set seed=1
  jepac: warning: 1 of 8 samples could not be read and were skipped; the first: x/train/a/1.jpg: Premature end of JPEG file
$ rm -rf x bad; cp -r p/folder x && : > x/train/b/2.jpg; onpictures folder --data x --out bad
  jepac: error: x/train/b/2.jpg: it is neither JPEG nor PNG
  exit 3
$ rm -rf x bad; cp -r p/folder x && echo > x/train/a/Thumbs.db && mv x/train/b/1.jpg x/train/b/1 && onpictures folder --data x --out runs/others && rm -r runs/others && echo > x/train/b/readme.txt && onpictures folder --data x --out runs/others
  jepac: warning: x/train/a/Thumbs.db is neither JPEG nor PNG and is no sample
  jepac: warning: 2 files below x/train are neither JPEG nor PNG and are no samples; the first: x/train/a/Thumbs.db
$ rm -rf x bad; cp -r p/folder x && rm x/train/b/*; onpictures folder --data x --out bad
  jepac: error: x/train/b holds no images
  exit 3
$ rm -rf x bad; cp -r p/folder x; for k in 0 1 2 3; do for c in a b; do mkmap x/saliency/train/$c/${k}_sal.npy '<f4' '(64, 64)' 4096; done; done; mv x/saliency/train/a/1_sal.npy x/saliency/train/a/1-sal.npy; onpictures looking --data x --out runs/looking
$ rm -rf bad; rm x/saliency/train/a/1-sal.npy; onpictures looking --data x --out bad 2>&1 | sed 's/ (.*//'
  jepac: error: x/train/a/1.jpg: there is no saliency map of it
$ rm -rf bad; mkmap x/saliency/train/a/1_sal.npy '<f4' '(4096,)' 4096; onpictures looking --data x --out bad
  jepac: error: x/saliency/train/a/1_sal.npy: a saliency map is floats of shape [height, width]
  exit 3
$ rm -rf bad; mkmap x/saliency/train/a/1_sal.npy '<f4' '(64, 64)' 100; onpictures looking --data x --out bad
  jepac: error: x/saliency/train/a/1_sal.npy: it is shorter than its shape says (truncated?)
  exit 3
$ rm -rf bad; mkmap x/saliency/train/a/1_sal.npy '<f4' '(1, 64, 64)' 4096 0; onpictures looking --data x --out bad
  jepac: error: x/saliency/train/a/1_sal.npy: the map is zero everywhere
  exit 3
$ rm -rf bad; mkmap x/saliency/train/a/1_sal.npy '<f8' '(64, 64)' 4096 nan; onpictures looking --data x --out bad
  jepac: error: x/saliency/train/a/1_sal.npy: the map holds a number that is not finite
  exit 3
$ rm -rf bad; cp -r p/stl x; onpictures maps --data x/stl --out bad
  jepac: error: cannot read x/stl/saliency_train.npy: No such file or directory
  jepac: note: saliency = "maps" reads a map of each image, f32[samples, height, width], from this file or x/stl/train/saliency_train.npy; saliency = "spectral" needs none
  exit 3
$ rm -rf x; cp -r p/folder x && rm -r x/train/b; onpictures folder --data x --out bad
  jepac: error: x/train holds 1 class folders, but classes = 2
  exit 3
$ rm -rf x; cp -r p/tiny x && rm x/train/b/images/*; onpictures tiny --data x --out bad
  jepac: error: x/train/b/images holds no images
  exit 3
$ rm -rf x; cp -r p/tiny x && cp p/3d/*/00000/image_0.jpg x/train/a/images/ && jepac render -q --out y --objects 2 --views 1 --size 48 --classes 1 && for k in 0 1 2 3; do cp y/*/00000/image_0.jpg x/train/a/images/a_$k.JPEG; cp y/*/00000/image_0.jpg x/train/b/images/b_$k.JPEG; done; onpictures tiny --data x --out bad 2>&1 | sed 's/[ab].images.[ab]_[0-9]/K/'
  jepac: error: x/train/K.JPEG: it has 48 x 48 pixels, expected 64 x 64
$ rm -rf x; cp -r p/cifar x && truncate -s -1 x/train.bin; onpictures cifar --data x --out bad
  jepac: error: x/train.bin: the 24591 bytes of train.bin are not a whole number of CIFAR-100 records of 3074 (truncated?)
  exit 3
$ rm -rf x bad; mkdir x && tar cz -f x/cifar-100-binary.tar.gz -C p cifar && onpictures cifar --data x --out runs/tar && ls runs/tar
  checkpoint.safetensors
  run.jsonl
  run.svg
$ for k in 1 5; do n=$(($(wc -c < x/cifar-100-binary.tar.gz) - k)); cp x/cifar-100-binary.tar.gz x/bent.tar.gz; printf '\377' | dd of=x/bent.tar.gz bs=1 seek=$n conv=notrunc 2>/dev/null; onpictures cifar --data x/bent.tar.gz --out bad; done
  jepac: error: cannot read x/bent.tar.gz: incorrect length check
  jepac: error: cannot read x/bent.tar.gz: incorrect data check
  exit 3
$ head -c 100 x/cifar-100-binary.tar.gz > x/cut.tar.gz; onpictures cifar --data x/cut.tar.gz --out bad
  jepac: error: cannot read x/cut.tar.gz: the compressed data end too early
  exit 3
$ cp p/cifar/train.bin train.bin; mkdir -p q; cd q && tar czP -f ../x/out.tar.gz ../train.bin; cd ..; onpictures cifar --data x/out.tar.gz --out bad
  jepac: error: x/out.tar.gz: its member ../train.bin has a path that leads outside; the archive is refused
  exit 3
$ tar cz -f x/none.tar.gz -C p/stl train_y.bin; onpictures cifar --data x/none.tar.gz --out bad
  jepac: error: x/none.tar.gz: it has no member train.bin
  exit 3
$ rm -rf x; cp -r p/stl x && truncate -s -1 x/train_y.bin; onpictures stl --data x --out bad
  jepac: error: x/train_X.bin holds 8 images, but x/train_y.bin holds 7 labels
  exit 3
$ rm -rf x; cp -r p/stl x && truncate -s -1 x/train_X.bin; onpictures stl --data x --out bad
  jepac: error: x/train_X.bin: its 221183 bytes are not a whole number of images of 27648 (truncated?)
  exit 3
$ rm -rf x; cp -r p/3d x && cp x/val_labels.npy x/train_labels.npy; onpictures 3d --data x --out bad
  jepac: error: x/train_images.npy lists 8 objects, but x/train_labels.npy holds 2 labels
  exit 3
$ rm -rf x; cp -r p/3d x && rm -r x/$(head -n 1 x/classes.txt)/00000; onpictures 3d --data x --out bad
  jepac: error: x/train_images.npy: object 0: there is no folder x/mug/00000
  exit 3
$ rm -rf x; cp -r p/3d x && for f in x/*/*/latent_*; do head -c 100 $f > t; mv t $f; done; onpictures 3d --data x --out bad 2>&1 | sed 's/[a-z]*.0000[0-9].latent_[01]/K/'
  jepac: error: x/K.npy: its header is truncated
$ ls bad
  run.jsonl
