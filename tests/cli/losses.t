Losses of torch.nn.functional (tests/parity/check_layers.py holds them against it).

$ jepac run losses.jepa
  l1 0.875
  smooth 0.588095188
  huber 0.411666632
  logits 1.15365732
  bce 0.576828599
  kl 0.0816573873
  ce 1.40526974
  axes 1.60759163
  soft 1.18026972
  ctc 4.32446146
  never inf
  zero 0
