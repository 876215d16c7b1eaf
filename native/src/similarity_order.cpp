/// Spherical k-means, split again and again until the parts are small.
///
/// Source: Dhillon, Modha 2001, "Concept decompositions for large sparse text data using clustering",
/// section 3; hierarchical with a fixed branching as in Nister, Stewenius 2006, "Scalable recognition
/// with a vocabulary tree". Ours: a document counts by its strongest terms, and a few rounds on a
/// sample place the centroids, so that the order costs a small part of the index's building.
#include "similarity_order.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/kernels.h"
#include "parallel.h"

namespace sir {
namespace {

constexpr std::size_t kFeatures = 32;         // strongest terms by which a document counts
constexpr std::size_t kRare = 2048;           // terms in fewer than 1 of so many rows do not count
constexpr std::size_t kMost = kCentroids;     // parts of one split
constexpr std::size_t kLeaf = 64;             // documents that are not split further
constexpr std::size_t kSample = 40;           // documents a centroid that place it
constexpr int kRounds = 3;
constexpr std::size_t kChunk = 1024;          // documents that a thread takes at a time

/// Calls work(begin, end) for chunks that cover [0, n).
template <class Work>
void parallel_chunks(std::size_t n, std::size_t n_threads, const Work& work) {
  parallel_for((n + kChunk - 1) / kChunk, n_threads, [&](std::size_t chunk) {
    work(chunk * kChunk, std::min((chunk + 1) * kChunk, n));
  });
}

/// What a row is compared by: its strongest terms, with weights of unit length.
class Features {
 public:
  Features(const OrdinalRows& rows, std::size_t n_terms, std::size_t n_threads) {
    const std::vector<std::uint32_t> number = number_terms(rows, n_terms);
    count(rows, number, n_threads);
    numbers_.resize(begins_.back());
    weights_.resize(begins_.back());
    parallel_chunks(rows.n_rows(), n_threads, [&](std::size_t begin, std::size_t end) {
      Strongest strongest;
      for (std::size_t row = begin; row < end; ++row) choose(rows, row, number, strongest);
    });
  }

  std::size_t n_features() const { return n_features_; }
  std::span<const std::uint32_t> numbers(LocalDoc row) const { return of(numbers_, row); }
  std::span<const float> weights(LocalDoc row) const { return of(weights_, row); }

 private:
  static constexpr std::uint32_t kNone = ~0U;
  using Strongest = std::vector<std::pair<float, std::uint32_t>>;

  std::vector<std::uint32_t> number_terms(const OrdinalRows& rows, std::size_t n_terms) {
    std::vector<std::uint32_t> number(n_terms, 0);
    for (const Ordinal term : rows.ordinals) ++number[term];
    for (auto& frequency : number) {
      const bool counts = frequency > 1 && frequency >= rows.n_rows() / kRare;
      frequency = counts ? static_cast<std::uint32_t>(n_features_++) : kNone;
    }
    return number;
  }

  /// How many features each row will have.
  void count(const OrdinalRows& rows, const std::vector<std::uint32_t>& number,
             std::size_t n_threads) {
    begins_.assign(rows.n_rows() + 1, 0);
    parallel_chunks(rows.n_rows(), n_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t row = begin; row < end; ++row) {
        std::size_t n = 0;
        for (std::uint64_t i = rows.begins[row]; i < rows.begins[row + 1]; ++i)
          n += number[rows.ordinals[i]] != kNone;
        begins_[row + 1] = std::min(n, kFeatures);
      }
    });
    std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  }

  void choose(const OrdinalRows& rows, std::size_t row, const std::vector<std::uint32_t>& number,
              Strongest& strongest) {
    strongest.clear();
    for (std::uint64_t i = rows.begins[row]; i < rows.begins[row + 1]; ++i)
      if (number[rows.ordinals[i]] != kNone)
        strongest.push_back({rows.weights[i], number[rows.ordinals[i]]});
    if (strongest.size() > kFeatures) {
      std::nth_element(strongest.begin(), strongest.begin() + kFeatures, strongest.end(),
                       std::greater<>());
      strongest.resize(kFeatures);
    }
    std::sort(strongest.begin(), strongest.end(), std::greater<>());
    double squares = 0;
    for (const auto& one : strongest) squares += double{one.first} * one.first;
    const double length = std::max(std::sqrt(squares), 1e-30);
    std::uint64_t at = begins_[row];
    for (const auto& [weight, feature] : strongest) {
      numbers_[at] = feature;
      weights_[at++] = static_cast<float>(weight / length);
    }
  }

  template <class T>
  std::span<const T> of(const std::vector<T>& values, LocalDoc row) const {
    return std::span(values).subspan(begins_[row], begins_[row + 1] - begins_[row]);
  }

  std::size_t n_features_ = 0;
  std::vector<std::uint64_t> begins_;
  std::vector<std::uint32_t> numbers_;
  std::vector<float> weights_;
};

using Docs = std::span<LocalDoc>;

class Splitter {
 public:
  explicit Splitter(const Features& features)
      : features_(features),
        centroids_(features.n_features() * kMost, 0.0F),
        is_touched_(features.n_features(), false) {}

  /// The documents stand in the order of ever smaller parts.
  void order(Docs docs) {
    for (const Docs part : split(docs, 1)) order(part);
  }

  /// Like documents side by side; returns the parts that are to be split further.
  std::vector<Docs> split(Docs docs, std::size_t n_threads) {
    std::vector<Docs> parts;
    if (docs.size() <= kLeaf) return parts;
    const std::size_t n_parts = std::clamp<std::size_t>(docs.size() / kLeaf, 2, kMost);
    place_centroids(docs, n_parts);
    labels_.resize(docs.size());
    parallel_chunks(docs.size(), n_threads, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) labels_[i] = nearest(docs[i], n_parts);
    });
    clear_centroids();
    const auto ends = group(docs);
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      if (end - begin < docs.size())  // else all are alike
        parts.push_back(docs.subspan(begin, end - begin));
      begin = end;
    }
    return parts;
  }

 private:
  void place_centroids(Docs docs, std::size_t n_parts) {
    n_columns_ = (n_parts + kCentroidGroup - 1) / kCentroidGroup * kCentroidGroup;
    for (std::size_t part = 0; part < n_parts; ++part)
      add_to(part, docs[part * docs.size() / n_parts]);
    normalise(n_parts);
    const std::size_t n = std::min(docs.size(), kSample * n_parts);
    labels_.resize(n);
    for (int round = 0; round < kRounds; ++round) {
      const auto chosen = [&](std::size_t i) { return docs[i * docs.size() / n]; };
      for (std::size_t i = 0; i < n; ++i) labels_[i] = nearest(chosen(i), n_parts);
      clear_centroids();
      for (std::size_t i = 0; i < n; ++i) add_to(labels_[i], chosen(i));
      normalise(n_parts);
    }
  }

  void add_to(std::size_t part, LocalDoc doc) {
    const auto numbers = features_.numbers(doc);
    const auto weights = features_.weights(doc);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      centroids_[numbers[i] * n_columns_ + part] += weights[i];
      if (is_touched_[numbers[i]]) continue;
      is_touched_[numbers[i]] = true;
      touched_.push_back(numbers[i]);
    }
  }

  void normalise(std::size_t n_parts) {
    std::array<double, kMost> squares{};
    for (const std::uint32_t feature : touched_)
      for (std::size_t part = 0; part < n_parts; ++part) {
        const double value = centroids_[feature * n_columns_ + part];
        squares[part] += value * value;
      }
    std::array<float, kMost> factor{};
    for (std::size_t part = 0; part < n_parts; ++part)
      factor[part] = static_cast<float>(1 / std::max(std::sqrt(squares[part]), 1e-30));
    for (const std::uint32_t feature : touched_)
      for (std::size_t part = 0; part < n_parts; ++part)
        centroids_[feature * n_columns_ + part] *= factor[part];
  }

  void clear_centroids() {
    for (const std::uint32_t feature : touched_) {
      std::fill_n(centroids_.begin() + static_cast<std::ptrdiff_t>(feature * n_columns_),
                  n_columns_, 0.0F);
      is_touched_[feature] = false;
    }
    touched_.clear();
  }

  std::uint8_t nearest(LocalDoc doc, std::size_t n_parts) const {
    const auto numbers = features_.numbers(doc);
    float products[kMost];
    kernels().centroid_products(numbers.data(), features_.weights(doc).data(), numbers.size(),
                                centroids_.data(), n_columns_, products);
    return static_cast<std::uint8_t>(std::max_element(products, products + n_parts) - products);
  }

  /// Sorts by label, the order within a label kept; returns where each label ends.
  std::vector<std::size_t> group(Docs docs) {
    std::vector<std::size_t> ends(kMost, 0);
    for (const std::uint8_t label : labels_) ++ends[label];
    std::size_t sum = 0;
    std::vector<std::size_t> next(kMost);
    for (std::size_t label = 0; label < kMost; ++label) {
      next[label] = sum;
      sum = ends[label] += sum;
    }
    const std::vector<LocalDoc> before(docs.begin(), docs.end());
    for (std::size_t i = 0; i < docs.size(); ++i) docs[next[labels_[i]]++] = before[i];
    return ends;
  }

  const Features& features_;
  std::vector<float> centroids_;         // [feature][column], all zero between splits
  std::size_t n_columns_ = kMost;        // of this split: a part each, and some that stay zero
  std::vector<std::uint32_t> touched_;   // features whose centroids are not all zero, each once
  std::vector<std::uint8_t> is_touched_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace

std::vector<LocalDoc> similarity_order(const OrdinalRows& rows, std::size_t n_terms,
                                       std::size_t n_threads) {
  std::vector<LocalDoc> order(rows.n_rows());
  std::iota(order.begin(), order.end(), LocalDoc{0});
  const Features features(rows, n_terms, n_threads);
  const std::vector<Docs> parts = Splitter(features).split(order, n_threads);
  std::atomic<std::size_t> next{0};
  parallel_for(n_threads, n_threads, [&](std::size_t) {
    Splitter own(features);
    for (std::size_t i; (i = next.fetch_add(1)) < parts.size();) own.order(parts[i]);
  });
  return order;
}

}  // namespace sir
