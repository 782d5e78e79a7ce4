" Syntax of jepac model files (docs/language.md).
if exists("b:current_syntax")
  finish
endif

syntax keyword jepaDeclaration model entry fn dim source optimizer extern use train
syntax keyword jepaStatement param buffer slot update return require children each bind minimize metric probe objective monitor field ignored
syntax keyword jepaControl if then else for in repeat scan collect and or not after
syntax match jepaControl "\<from\>\(\s*=\)\@!"
syntax keyword jepaConstant true false none
syntax keyword jepaUnit every epoch epochs step steps
syntax keyword jepaType f32 f64 bf16 f16 i8 i16 i32 i64 u8 u16 u32 u64 bool int list
syntax match jepaNumber "\<\d\+\(\.\d\+\)\?\([eE][+-]\?\d\+\)\?%\?"
syntax match jepaCall "\<\h\w*\ze\s*("
syntax match jepaComment "#.*$" contains=jepaTodo
syntax keyword jepaTodo TODO FIXME contained
syntax region jepaString start=+"+ end=+"+ oneline

highlight default link jepaDeclaration Keyword
highlight default link jepaStatement Statement
highlight default link jepaControl Conditional
highlight default link jepaConstant Constant
highlight default link jepaUnit Special
highlight default link jepaType Type
highlight default link jepaNumber Number
highlight default link jepaCall Function
highlight default link jepaComment Comment
highlight default link jepaTodo Todo
highlight default link jepaString String

setlocal commentstring=#\ %s
let b:current_syntax = "jepa"
