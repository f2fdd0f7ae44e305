# One interface target carries the flags that all our code is compiled with.
add_library(understudy_flags INTERFACE)
target_compile_options(understudy_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
  -Woverloaded-virtual -Wnon-virtual-dtor -Wduplicated-cond -Wlogical-op -Wdouble-promotion
  # Golden numbers must not move with the machine: no fused multiply-add behind our back.
  -ffp-contract=off)
target_compile_definitions(understudy_flags INTERFACE
  UNDERSTUDY_VERSION="${PROJECT_VERSION}"
  # Boost.Math in double throughout, so that results do not depend on long double.
  BOOST_MATH_PROMOTE_DOUBLE_POLICY=false)
if(UNDERSTUDY_WERROR)
  target_compile_options(understudy_flags INTERFACE -Werror)
endif()
if(UNDERSTUDY_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()
