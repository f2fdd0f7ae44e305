#pragma once
// From study.toml to models: endpoints, keys, egress, and recorded studies.

#include <string>

#include "engine/study.hpp"
#include "model/model_spec.hpp"

namespace understudy {

/// What the program gives the engine. `cache_dir`: where script/setup keeps packaged weights.
[[nodiscard]] ModelFactory model_factory(Environment environment, std::string cache_dir);

[[nodiscard]] RemoteFactory remote_factory(Environment environment);

[[nodiscard]] CommandFactory command_factory();

}  // namespace understudy
