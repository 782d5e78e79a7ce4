A data set of rendered objects: written, the same again, read by a model; damaged pictures and latents.

$ jepac render -q --out d --objects 20 --views 4 --size 24 --classes 5 --seed 3 && ls d && ls d/mug | head -n 2 && ls d/mug/00000
  bottle
  classes.txt
  goblet
  mug
  quaternions.npy
  sheet.png
  table
  train_images.npy
  train_labels.npy
  val_images.npy
  val_labels.npy
  vase
  00000
  00005
  image_0.jpg
  image_1.jpg
  image_2.jpg
  image_3.jpg
  latent_0.npy
  latent_1.npy
  latent_2.npy
  latent_3.npy
$ jepac render -q --out e --objects 20 --views 4 --size 24 --classes 5 --seed 3 && diff -r d e && echo same
  same
$ jepac render -q --out g --objects 10 --views 2 --size 24 --classes 5 --seed 3 --plain && od -An -j152 -N32 -tf8 g/mug/00000/latent_0.npy
                          0      0.39269908169872414
                          0                        0
$ jepac render -q --out k --objects 10 --views 2 --size 24 --classes 5 --seed 3 --grey && od -An -j152 -N32 -tf8 k/mug/00000/latent_0.npy | awk 'NR == 1 { print $1, ($2 != 0.39269908169872414) } NR == 2 { print ($1 > 0), $2 }'
  0 1
  1 0
$ jepac render -q --out l --objects 10 --views 2 --size 24 --classes 5 --seed 3 --grey --textures && jepac render -q --out m --objects 10 --views 2 --size 24 --classes 5 --seed 3 --grey --textures --distractors 2 && jepac render -q --out n --objects 20 --views 2 --size 24 --classes 5 --seed 3 --grey --textures --distractors 2 && cmp k/mug/00000/latent_1.npy m/mug/00000/latent_1.npy && cmp m/mug/00000/image_1.jpg n/mug/00000/image_1.jpg && for x in k l; do cmp -s $x/mug/00000/image_1.jpg m/mug/00000/image_1.jpg || echo other; done
  other
  other
$ jepac render -q --out h --objects 6 --views 1 --size 24 --shapes chair,teapot,car && cat h/classes.txt; jepac render -q --out i --objects 6 --shapes chair,teapod; jepac render -q --out i --objects 6 --shapes chair,chair; jepac render -q --out i --objects 6 --shapes chair --classes 2
  chair
  teapot
  car
  jepac: error: --shapes: there is no class teapod; did you mean teapot
  jepac: error: --shapes names chair twice
  jepac: error: --classes and --shapes exclude each other
  exit 2
$ jepac train turn.jepa -q --data d --out run && ls run | grep -v previous
  checkpoint.safetensors
  run.jsonl
  run.svg
$ rm -rf bad; rm d/goblet/*/latent_*; jepac train turn.jepa -q --data d --out bad 2>err; echo $?; sed 's/[0-9]*\/latent_[0-3]/N\/latent_K/' err
  3
  jepac: error: cannot read d/goblet/N/latent_K.npy: No such file or directory
$ jepac train turn.jepa -q --data d --out skipped --set data.skip_bad=true 2>err; echo $?; sed 's/[0-9]*\/latent_[0-3]/N\/latent_K/' err
  0
  jepac: warning: 3 of 15 samples could not be read and were skipped; the first: cannot read d/goblet/N/latent_K.npy: No such file or directory
$ rm -rf bad; for k in 0 1 2 3; do truncate -s 300 e/mug/00000/image_$k.jpg; done; jepac train turn.jepa -q --data e --out bad 2>err; echo $?; sed 's/image_[0-3]/image_K/' err
  3
  jepac: error: e/mug/00000/image_K.jpg: Premature end of JPEG file
$ rm -rf bad; rm -r e/mug/00000; jepac train turn.jepa -q --data e --out bad
  jepac: error: e/train_images.npy: object 0: there is no folder e/mug/00000
  exit 3
$ rm -rf bad; rm e/train_labels.npy; jepac train turn.jepa -q --data e --out bad
  jepac: error: cannot read e/train_labels.npy: No such file or directory
  exit 3
$ rm -rf bad; jepac train turn.jepa -q --data nothere --out bad
  jepac: error: 3DIEBench is not in nothere: it has no train_images.npy
  jepac: note: expected: train_images.npy, train_labels.npy, val_images.npy, val_labels.npy, and for each object a folder with image_0.jpg, latent_0.npy, image_1.jpg and so on; `jepac render` makes such a data set
  exit 3
$ rm -rf bad; jepac train turn.jepa -q --data d --out bad --set data.per_object=1
  turn.jepa:12:15: error: 2 views are asked for, but an object has 1 pictures
        data      = diebench(views = 2, size = 24, per_object = 4, classes = 5)
                    ^
  std/data.jepa:167:3: note: required here
        require views <= per_object, "{views} views are asked for, but an object has {per_object} pictures"
        ^
  jepac: note: this is with --set data.per_object=1
  exit 1

Usage.

$ jepac render
  jepac: error: render needs --out DIR
  exit 2
$ jepac render --out x
  jepac: error: render needs --objects N
  exit 2
$ jepac render --out x --objects 1
  jepac: error: --objects is 2 to 10000000, not 1: some train, some validate
  exit 2
$ jepac render --out x --objects 4 --classes 99
  jepac: error: --classes is at most 28, as many as there are
  exit 2
$ jepac render --out x --objects 4 --size 4
  jepac: error: --size is 8 to 1024
  exit 2
$ jepac render --out x --objects 4 --views 0
  jepac: error: --views needs a positive whole number, not '0'
  exit 2
$ jepac render --out x --objects 4 --views 257   # more than the reader of such a data set takes
  jepac: error: --views is at most 256
  exit 2
$ jepac render --out x --objects 4 --distractors 17
  jepac: error: --distractors is at most 16
  exit 2
$ jepac render --out x --objects 4 --plain --grey
  jepac: error: --plain has no hues: --grey says nothing more
  exit 2
$ jepac render -q --out turn.jepa --objects 4
  jepac: error: cannot make folder turn.jepa: Not a directory
  exit 3
