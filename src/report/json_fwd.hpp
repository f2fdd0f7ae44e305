#pragma once
// The name of Json without its definition, which is slow to compile: headers that only pass
// documents on include this, sources that look into them include base/json.hpp.

#include <nlohmann/json_fwd.hpp>

namespace understudy {

using Json = nlohmann::json;

}  // namespace understudy
