#pragma once
// People at work: labels in, the queue of what is worth labeling next, and how far people agree.
// What the queue gives never says which arm or model wrote an answer, nor what a grader thinks of
// it.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "engine/label_file.hpp"
#include "engine/study.hpp"

namespace understudy {

struct LabelImport {
  std::uint64_t added = 0;
  std::uint64_t known = 0;      ///< were there already, with the same target
  std::uint64_t unlabeled = 0;  ///< rows without a target
  std::vector<BadRow> bad;      ///< by place in the file
};
/// Adds the file's labels to the study's, all that can be taken at once. What was there stays.
[[nodiscard]] Result<LabelImport> import_labels(Study& study, const std::string& path,
                                                LabelDefaults defaults);
[[nodiscard]] Json to_json(const LabelImport& done);

struct QueueRequest {
  std::string behavior;   ///< empty: all
  std::string annotator;  ///< who is to label: is not given the same answer twice. May be empty
  std::size_t size = 50;  ///< at most so many rows
  double doubly = 0.2;    ///< share of answers that a second annotator labels as well, [0, 1]
};
struct QueueItem {
  std::uint64_t answer = 0;
  std::string behavior;
  bool adjudicate = false;   ///< annotators differ
  std::string conversation;  ///< for reading: the messages before the answer
  std::string text;          ///< the answer, within the window
};
/// In order of what a label is worth: flags that nothing has verified; answers that graders or
/// people disagree about; the audit; flags that a model has verified; the audit, likewise; second
/// labels. Within each, in seeded order.
[[nodiscard]] Result<std::vector<QueueItem>> label_queue(Study& study, const QueueRequest& request);
/// A file to fill in: id, behavior, annotator, target (empty), round, conversation, answer.
[[nodiscard]] std::string queue_csv(const std::vector<QueueItem>& items,
                                    const std::string& annotator);
[[nodiscard]] Json to_json(const std::vector<QueueItem>& items);

/// understudy.labels/1: per behavior counts and agreement, and what is left to label.
[[nodiscard]] Result<Json> label_status(Study& study);
[[nodiscard]] std::string label_status_text(const Json& status);

}  // namespace understudy
