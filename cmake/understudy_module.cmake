# understudy_module(NAME DEPS targets…): the library `us_NAME` from src/NAME/*.cpp and, where there
# are *_test.cpp files, the test program `NAME_test`. A dependency written without `::` that names a
# module means that module, which must be declared above: that is what makes cycles impossible.
function(understudy_module name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp
                                      ${PROJECT_SOURCE_DIR}/src/${name}/*/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  if(NOT sources)  # not written yet
    add_library(us_${name} INTERFACE)
    target_include_directories(us_${name} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    return()
  endif()
  add_library(us_${name} STATIC ${sources})
  target_include_directories(us_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(us_${name} PUBLIC understudy_flags)
  foreach(dep ${ARG_DEPS})
    if(EXISTS ${PROJECT_SOURCE_DIR}/src/${dep} AND NOT TARGET us_${dep})
      message(FATAL_ERROR
              "module ${name} depends on ${dep}, which stands below it in CMakeLists.txt")
    elseif(TARGET us_${dep})
      target_link_libraries(us_${name} PUBLIC us_${dep})
    else()
      target_link_libraries(us_${name} PUBLIC ${dep})
    endif()
  endforeach()
  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE us_${name} GTest::gmock GTest::gtest_main rapidcheck)
    # Optimizing a test costs more time than its run saves: half of the dev build is tests.
    if(UNDERSTUDY_SANITIZE)
      target_compile_options(${name}_test PRIVATE -O0)
    endif()
    target_compile_definitions(${name}_test PRIVATE
      UNDERSTUDY_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
      UNDERSTUDY_CACHE_DIR="${UNDERSTUDY_CACHE_DIR}"
      UNDERSTUDY_SHARED_DATA="${PROJECT_SOURCE_DIR}/../shared/data")
    # Suites whose names begin with Slow are a test of their own: a file that gets its first one is
    # configured anew.
    set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${tests})
    add_test(NAME ${name} COMMAND ${name}_test --gtest_filter=-Slow*)
    set_tests_properties(${name} PROPERTIES LABELS fast TIMEOUT 300)
    set(slow FALSE)
    foreach(test ${tests})
      file(STRINGS ${test} lines REGEX "^TEST(_F)?\\(Slow")
      if(lines)
        set(slow TRUE)
      endif()
    endforeach()
    if(slow)
      add_test(NAME ${name}_slow COMMAND ${name}_test --gtest_filter=Slow*)
      set_tests_properties(${name}_slow PROPERTIES LABELS slow TIMEOUT 300)
    endif()
  endif()
endfunction()
