#include "estimate/arm_verdicts.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "stats/distributions.hpp"

namespace understudy {

// --- ClusterSizes

void ClusterSizes::count_draws(double weight, std::uint64_t count) {
  UNDERSTUDY_ASSERT(!finished_ && weight > 0 && std::isfinite(weight) && count >= 1);
  draws_ += count;
  weight_sum_.add(weight, count);
  square_sum_.add(weight * weight, count);
  if (weight > 1) design_sum_.add(weight * (weight - 1), count);
  weight_max_ = std::max(weight_max_, weight);
}

void ClusterSizes::add(std::uint64_t cluster, double weight, std::uint64_t count) {
  count_draws(weight, count);
  entries_.push_back({cluster, weight, count});
}

void ClusterSizes::add_singletons(double weight, std::uint64_t count) {
  count_draws(weight, count);
  clusters_ += count;
  cluster_square_sum_.add(weight * weight, count);
  size_squares_ += static_cast<double>(count);
}

void ClusterSizes::finish() {
  UNDERSTUDY_ASSERT(!finished_);
  finished_ = true;
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.cluster < b.cluster; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < entries_.size();) {
    std::size_t end = i;
    std::uint64_t size = 0;
    bool equal = true;
    for (; end < entries_.size() && entries_[end].cluster == entries_[i].cluster; ++end) {
      size += entries_[end].count;
      equal = equal && entries_[end].weight == entries_[i].weight;
    }
    double weight = entries_[i].weight * static_cast<double>(size);
    if (!equal) {
      ExactSum sum;
      for (std::size_t j = i; j < end; ++j) sum.add(entries_[j].weight, entries_[j].count);
      weight = sum.value();
    }
    entries_[kept++] = {entries_[i].cluster, weight, size};
    cluster_square_sum_.add(weight * weight);
    size_squares_ += static_cast<double>(size) * static_cast<double>(size);
    i = end;
  }
  entries_.resize(kept);
  entries_.shrink_to_fit();
  clusters_ += kept;
  weight_ = weight_sum_.value();
  weight_squares_ = square_sum_.value();
  design_variance_ = design_sum_.value();
  cluster_weight_squares_ = cluster_square_sum_.value();
  if (draws_ > 0) typical_size_ = size_squares_ / static_cast<double>(draws_);
}

double ClusterSizes::weight_of(std::uint64_t cluster) const {
  UNDERSTUDY_ASSERT(finished_);
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), cluster,
                       [](const Entry& entry, std::uint64_t key) { return entry.cluster < key; });
  return found != entries_.end() && found->cluster == cluster ? found->weight : 0;
}

// --- ArmVerdicts

Screened screened(Verdict verdict) {
  if (verdict == Verdict::kAbsent) return Screened::kAbsent;
  if (verdict == Verdict::kPresent) return Screened::kPresent;
  if (verdict == Verdict::kUngradableLanguage || verdict == Verdict::kUngradableNoText) {
    return Screened::kOutOfScope;
  }
  if (verdict == Verdict::kNotGradedJudgeFailed) return Screened::kMissing;
  return is_not_graded(verdict) ? Screened::kNotGraded : Screened::kMissing;
}

void ArmVerdicts::add(const VerdictRow& row, std::string_view reason) {
  UNDERSTUDY_ASSERT(row.count >= 1 && row.weight > 0 && row.pi_oracle > 0 && row.pi_oracle <= 1);
  if (row.oracle != Oracle::kUnknown) counts_.verified += row.count;
  switch (row.screen) {
    case Screened::kAbsent:
      if (row.oracle == Oracle::kUnknown) return;  // absent verdicts follow from the totals
      break;
    case Screened::kPresent:
      counts_.present += row.count;
      break;
    case Screened::kMissing:
    case Screened::kOutOfScope:
      counts_.ungradable[std::string(reason)] += row.count;
      break;
    case Screened::kNotGraded:
      counts_.not_graded[std::string(reason)] += row.count;
      break;
  }
  keep(row);
}

// Turns of one conversation often have the same verdict, and come one after another.
void ArmVerdicts::keep(const VerdictRow& row) {
  if (!rows_.empty() && row.prefix == 0) {
    VerdictRow same = row;
    same.count = rows_.back().count;
    if (same == rows_.back()) {
      rows_.back().count += row.count;
      return;
    }
  }
  rows_.push_back(row);
}

void ArmVerdicts::add(Verdict verdict, VerdictRow row) {
  row.screen = screened(verdict);
  if (is_not_graded(verdict) && row.screen == Screened::kMissing) {
    // The judge could not be reached: the interval spans it, the report lists it as not graded.
    counts_.not_graded[std::string(verdict_name(verdict))] += row.count;
    if (row.oracle != Oracle::kUnknown) counts_.verified += row.count;
    keep(row);
    return;
  }
  add(row, verdict <= Verdict::kPresent ? std::string_view() : verdict_name(verdict));
}

void ArmVerdicts::add_failed(std::uint64_t count, double weight) {
  UNDERSTUDY_ASSERT(weight > 0);
  failed_ += count;
  failed_weight_ += weight * static_cast<double>(count);
}

std::uint64_t prefix_mix(std::uint64_t prefix) {
  // The finalizer of splitmix64 (Steele, Lea & Flood 2014): a bijection that spreads every bit.
  prefix += 0x9E3779B97F4A7C15;
  prefix = (prefix ^ (prefix >> 30)) * 0xBF58476D1CE4E5B9;
  prefix = (prefix ^ (prefix >> 27)) * 0x94D049BB133111EB;
  return prefix ^ (prefix >> 31);
}

Interval share_interval(const EventCount& count, double level) {
  if (count.n == 0) return {0, 1};
  if (count.y <= 0.5) return weighted_binomial({count.y, count.v, count.w_next}, level);
  if (count.y > 1) return {0, 1};  // weights that belong to no share: nothing can be said
  const double rest = 1 - count.y;
  const double v = rest > 0 ? rest * count.v / count.y : 0;
  const Interval absent = weighted_binomial({v > 0 ? rest : 0, v, count.w_next}, level);
  return {1 - absent.hi, 1 - absent.lo};
}

// --- Summary

namespace {

// One cluster's contribution to a share.
struct ClusterPart {
  double events = 0;       // Σ w of those present
  double size = 0;         // Σ w of all that the share is over
  std::uint64_t hits = 0;  // of them present
};

// Gathers clusters into an EventCount.
class ShareBuilder {
 public:
  // `count` draws of weight w that are present, or could have been.
  void draw(double w, bool present, std::uint64_t count) {
    if (present) {
      events_.add(w, count);
      own_squares_.add(w * w, count);
      hits_ += count;
    }
    weight_next_ = std::max(weight_next_, w);
  }
  void cluster(const ClusterPart& part, std::uint64_t count = 1) {
    squares_.add(part.events * part.events, count);
    products_.add(part.events * part.size, count);
    if (part.events > 0) {
      positive_ += count;
      most_ = std::max(most_, part.events);
      hits_most_ = std::max(hits_most_, part.hits);
      if (part.events >= part.size) full_ += count;
    }
  }

  // The draws that the share is over, and how they fall into clusters.
  struct Base {
    std::uint64_t n = 0;         // draws
    double weight = 0;           // Σ w, or the size of the frame
    double weight_squares = 0;   // Σ w²
    double cluster_squares = 0;  // Σ W_c²
    double clusters = 0;
    double typical_size = 1;
    double weight_any = 1;     // what a further event weighs where no flag says
    bool fixed_total = false;  // weight is the frame: no ratio
  };
  [[nodiscard]] EventCount finish(const Base& base, double level) const;
  [[nodiscard]] std::uint64_t positive() const { return positive_; }
  [[nodiscard]] std::uint64_t hits_most() const { return hits_most_; }

 private:
  ExactSum events_, own_squares_, squares_, products_;
  std::uint64_t hits_ = 0, positive_ = 0, full_ = 0, hits_most_ = 0;
  double most_ = 0, weight_next_ = 0;
};

EventCount ShareBuilder::finish(const Base& base, double level) const {
  EventCount count;
  count.n = base.n;
  count.k = hits_;
  if (base.n == 0 || base.weight <= 0) return count;
  const double total = base.weight;
  count.y = events_.value() / total;
  const bool nearly_all = count.y > 0.5;
  // What one further event would bring. With clusters and few of them positive, it may be a user
  // who does it all the time: the typical cluster, discounted by the clusters that were seen.
  const double seen =
      nearly_all ? base.clusters - static_cast<double>(full_) : static_cast<double>(positive_);
  double next = weight_next_ > 0 ? weight_next_ : base.weight_any;
  if (!nearly_all) next = std::max(next, most_);
  if (base.typical_size > 1 && seen < 10) {
    const double mean_weight = total / static_cast<double>(base.n);
    next = std::max(next, mean_weight * base.typical_size / (seen + 1));
  }
  count.w_next = std::min(next / total, 1.0);
  if (base.clusters == 1 && base.n > 1) count.w_next = 1;
  if (count.y <= 0) return count;

  const double rest = base.fixed_total ? 0 : count.y;  // residuals a − y, or plain events
  const auto variance = [&](double squares, double products, double sizes) {
    return std::max(squares - 2 * rest * products + rest * rest * sizes, 0.0) /
           (total * total * (1 - rest));
  };
  if (count.y >= 1 - 1e-12) {
    count.y = std::min(count.y, 1.0);
    count.v = count.y * count.w_next;
    return count;
  }
  double v = variance(own_squares_.value(), own_squares_.value(), base.weight_squares);
  if (base.clusters == 1 && base.n > 1) {
    v = count.y;  // one user is one observation
  } else if (base.typical_size > 1) {
    // Few clusters: their variance is itself uncertain (Student's t), and has lost a degree.
    const double alpha = (1 - level) / 2;
    const double z = normal_quantile(1 - alpha);
    const double t = student_quantile(base.clusters - 1, 1 - alpha);
    v = std::max(v, variance(squares_.value(), products_.value(), base.cluster_squares) *
                        (t * t / (z * z)) * base.clusters / (base.clusters - 1));
  }
  count.v = v;
  return count;
}

bool usable(const VerdictRow& row) {
  return row.screen == Screened::kAbsent || row.screen == Screened::kPresent;
}

}  // namespace

class Summarizer {
 public:
  Summarizer(ArmVerdicts verdicts, double level) : in_(std::move(verdicts)), level_(level) {
    std::sort(in_.rows_.begin(), in_.rows_.end(), [](const VerdictRow& a, const VerdictRow& b) {
      return a.singleton != b.singleton ? b.singleton : a.cluster < b.cluster;
    });
  }
  ArmSummary run();

 private:
  // Calls visit(first, last) for the rows of each cluster; singleton rows come one by one.
  template <class Visit>
  void each_cluster(Visit visit) const {
    const auto& rows = in_.rows_;
    for (std::size_t i = 0; i < rows.size();) {
      std::size_t end = i + 1;
      while (!rows[i].singleton && end < rows.size() && !rows[end].singleton &&
             rows[end].cluster == rows[i].cluster) {
        ++end;
      }
      visit(rows.data() + i, rows.data() + end);
      i = end;
    }
  }
  void count_shares(ArmSummary& out);
  template <class Present>
  EventCount draw_share(Present present, ArmSummary& out, bool sets_clusters) const;
  template <class Chosen>
  EventCount label_share(Chosen chosen) const;

  ArmVerdicts in_;
  double level_;
  ShareBuilder::Base base_;
};

void Summarizer::count_shares(ArmSummary& out) {
  const ClusterSizes& draws = *in_.draws_;
  ExactSum missing, outside, left_out, unusable_squares, lost_cluster_squares;
  std::uint64_t unusable = 0;
  each_cluster([&](const VerdictRow* first, const VerdictRow* last) {
    ExactSum lost;
    bool loses = false;
    for (const VerdictRow* row = first; row != last; ++row) {
      if (usable(*row)) continue;
      (row->screen == Screened::kMissing      ? missing
       : row->screen == Screened::kOutOfScope ? outside
                                              : left_out)
          .add(row->weight, row->count);
      unusable += row->count;
      unusable_squares.add(row->weight * row->weight, row->count);
      if (row->singleton) {
        lost_cluster_squares.add(row->weight * row->weight, row->count);
      } else {
        lost.add(row->weight, row->count);
        loses = true;
      }
    }
    if (loses) {
      const double all = draws.weight_of(first->cluster);
      const double kept = std::max(all - lost.value(), 0.0);
      lost_cluster_squares.add(all * all - kept * kept);
    }
  });
  UNDERSTUDY_ASSERT(unusable <= draws.draws());
  out.gradable = draws.draws() - unusable;
  const double scope = draws.weight() - outside.value() - left_out.value();
  const double gradable = out.gradable == 0 ? 0 : scope - missing.value();
  const double asked = scope + in_.failed_weight_;
  if (missing.value() + in_.failed_weight_ > 0) {
    out.missing_share = std::min((missing.value() + in_.failed_weight_) / asked, 1.0);
  }
  if (draws.draws() > 0) out.out_of_scope_share = outside.value() / draws.weight();
  base_.n = out.gradable;
  base_.weight = gradable;
  base_.weight_squares = std::max(draws.weight_squares() - unusable_squares.value(), 0.0);
  base_.cluster_squares =
      std::max(draws.cluster_weight_squares() - lost_cluster_squares.value(), 0.0);
  base_.clusters = static_cast<double>(draws.clusters());
  base_.typical_size = draws.typical_size();
  base_.weight_any = draws.weight_max();
  if (in_.frame_ && draws.weight() > 0) {
    // Several draws of each prefix stand for the frame several times.
    const double times = std::max(std::round(draws.weight() / *in_.frame_), 1.0);
    base_.weight = *in_.frame_ * times * gradable / draws.weight();
    base_.fixed_total = out.effective_share < 1 - 1e-9;
  }
}

// A share over all gradable draws; present(row) says what counts.
template <class Present>
EventCount Summarizer::draw_share(Present present, ArmSummary& out, bool sets_clusters) const {
  ShareBuilder share;
  each_cluster([&](const VerdictRow* first, const VerdictRow* last) {
    ExactSum events, lost;
    ClusterPart part;
    for (const VerdictRow* row = first; row != last; ++row) {
      if (!usable(*row)) {
        lost.add(row->weight, row->count);
        continue;
      }
      if (row->screen != Screened::kPresent) continue;
      share.draw(row->weight, present(*row), row->count);
      if (!present(*row)) continue;
      events.add(row->weight, row->count);
      part.hits += row->count;
    }
    if (part.hits == 0) return;
    if (first->singleton) {
      share.cluster({first->weight, first->weight, 1}, first->count);
      return;
    }
    part.events = events.value();
    part.size = std::max(in_.draws_->weight_of(first->cluster) - lost.value(), 0.0);
    share.cluster(part);
  });
  if (sets_clusters) {
    out.positive_clusters = share.positive();
    out.clustered = base_.n > 0 && (base_.typical_size >= 1.5 || share.hits_most() >= 2);
  }
  return share.finish(base_, level_);
}

// A share over labels: rows with an oracle verdict that `chosen` takes, weighted by
// 1 / (pi_prefix · pi_oracle).
template <class Chosen>
EventCount Summarizer::label_share(Chosen chosen) const {
  ShareBuilder share;
  ShareBuilder::Base base;
  ExactSum weight, squares, cluster_squares;
  double size_squares = 0;
  each_cluster([&](const VerdictRow* first, const VerdictRow* last) {
    ExactSum events, size;
    ClusterPart part;
    std::uint64_t labels = 0;
    for (const VerdictRow* row = first; row != last; ++row) {
      if (row->oracle == Oracle::kUnknown || !chosen(*row)) continue;
      const double w = row->weight / row->pi_oracle;
      const bool present = row->oracle == Oracle::kPresent;
      weight.add(w, row->count);
      squares.add(w * w, row->count);
      size.add(w, row->count);
      base.weight_any = base.n == 0 ? w : std::max(base.weight_any, w);
      base.n += row->count;
      labels += row->count;
      share.draw(w, present, row->count);
      if (present) {
        events.add(w, row->count);
        part.hits += row->count;
      }
    }
    if (labels == 0) return;
    if (first->singleton) {
      const double w = first->weight / first->pi_oracle;
      base.clusters += static_cast<double>(first->count);
      cluster_squares.add(w * w, first->count);
      size_squares += static_cast<double>(first->count);
      if (part.hits > 0) share.cluster({w, w, 1}, first->count);
      return;
    }
    part.events = events.value();
    part.size = size.value();
    base.clusters += 1;
    cluster_squares.add(part.size * part.size);
    size_squares += static_cast<double>(labels) * static_cast<double>(labels);
    share.cluster(part);
  });
  base.weight = weight.value();
  base.weight_squares = squares.value();
  base.cluster_squares = cluster_squares.value();
  if (base.n > 0) base.typical_size = size_squares / static_cast<double>(base.n);
  return share.finish(base, level_);
}

ArmSummary Summarizer::run() {
  ArmSummary out;
  const ClusterSizes& draws = *in_.draws_;
  out.draws = draws.draws();
  out.failed = in_.failed_;
  out.clusters = draws.clusters();
  out.fingerprint = in_.fingerprint_;
  if (draws.draws() > 0) {
    out.effective_share = draws.weight() * draws.weight() /
                          (static_cast<double>(draws.draws()) * draws.weight_squares());
  }
  count_shares(out);
  out.verdicts = in_.counts_;
  UNDERSTUDY_ASSERT(out.gradable >= out.verdicts.present);
  out.verdicts.absent = out.gradable - out.verdicts.present;
  std::uint64_t checked_flags = 0, certain_flags = 0;
  for (const VerdictRow& row : in_.rows_) {
    const bool flag = row.screen == Screened::kPresent;
    if (flag && row.oracle != Oracle::kUnknown) {
      checked_flags += row.count;
      if (row.pi_oracle == 1) certain_flags += row.count;
    }
    if (row.prefix != 0 && flag) out.present_prefixes.push_back(row.prefix);
    if (row.prefix != 0 && !usable(row)) out.unusable_prefixes.push_back(row.prefix);
  }
  std::sort(out.present_prefixes.begin(), out.present_prefixes.end());
  std::sort(out.unusable_prefixes.begin(), out.unusable_prefixes.end());
  out.flags_complete = certain_flags == out.verdicts.present;
  out.screen = draw_share([](const VerdictRow&) { return true; }, out, true);
  out.verified = draw_share([](const VerdictRow& row) { return row.oracle == Oracle::kPresent; },
                            out, checked_flags > 0);
  out.flagged = label_share([](const VerdictRow& row) { return row.screen == Screened::kPresent; });
  out.unflagged =
      label_share([](const VerdictRow& row) { return row.screen == Screened::kAbsent; });
  out.labels = label_share([](const VerdictRow& row) { return usable(row); });
  return out;
}

ArmSummary summarize(ArmVerdicts verdicts, double level) {
  return Summarizer(std::move(verdicts), level).run();
}

}  // namespace understudy
