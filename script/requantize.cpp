// requantize IN.gguf OUT.gguf: the same weights as Q8_0. Built and run once by script/setup.

#include <llama.h>

#include <cstdio>

int main(int argument_count, char** arguments) {
  if (argument_count != 3) {
    std::fprintf(stderr, "usage: requantize IN.gguf OUT.gguf\n");
    return 2;
  }
  // Errors only: the default log is a page for every tensor.
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  llama_backend_init();
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = LLAMA_FTYPE_MOSTLY_Q8_0;
  params.allow_requantize = true;
  return llama_model_quantize(arguments[1], arguments[2], &params) == 0 ? 0 : 4;
}
