/// Spherical k-means, split again and again until the parts are small.
///
/// Source: Dhillon, Modha 2001, "Concept decompositions for large sparse text data using clustering",
/// section 3; hierarchical with a fixed branching as in Nister, Stewenius 2006, "Scalable recognition
/// with a vocabulary tree". Ours: a document counts by its strongest terms, and a few rounds on a
/// sample place the centroids, so that the order costs a small part of the index's building.
#include "similarity_order.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/kernels.h"

namespace sir {
namespace {

constexpr std::size_t kFeatures = 32;         // strongest terms by which a document counts
constexpr std::size_t kRare = 2048;           // terms in fewer than 1 of so many rows do not count
constexpr std::size_t kMost = kCentroids;     // parts of one split
constexpr std::size_t kLeaf = 64;             // documents that are not split further
constexpr std::size_t kSample = 40;           // documents a centroid that place it
constexpr int kRounds = 3;

/// What a row is compared by: its strongest terms, with weights of unit length.
class Features {
 public:
  Features(const OrdinalRows& rows, std::size_t n_terms) {
    const std::vector<std::uint32_t> number = number_terms(rows, n_terms);
    begins_.reserve(rows.n_rows() + 1);
    for (std::size_t row = 0; row < rows.n_rows(); ++row) add(rows, row, number);
  }

  std::size_t n_features() const { return n_features_; }
  std::span<const std::uint32_t> numbers(LocalDoc row) const { return of(numbers_, row); }
  std::span<const float> weights(LocalDoc row) const { return of(weights_, row); }

 private:
  static constexpr std::uint32_t kNone = ~0U;

  std::vector<std::uint32_t> number_terms(const OrdinalRows& rows, std::size_t n_terms) {
    std::vector<std::uint32_t> number(n_terms, 0);
    for (const Ordinal term : rows.ordinals) ++number[term];
    for (auto& frequency : number) {
      const bool counts = frequency > 1 && frequency >= rows.n_rows() / kRare;
      frequency = counts ? static_cast<std::uint32_t>(n_features_++) : kNone;
    }
    return number;
  }

  void add(const OrdinalRows& rows, std::size_t row, const std::vector<std::uint32_t>& number) {
    strongest_.clear();
    for (std::uint64_t i = rows.begins[row]; i < rows.begins[row + 1]; ++i)
      if (number[rows.ordinals[i]] != kNone)
        strongest_.push_back({rows.weights[i], number[rows.ordinals[i]]});
    if (strongest_.size() > kFeatures) {
      std::nth_element(strongest_.begin(), strongest_.begin() + kFeatures, strongest_.end(),
                       std::greater<>());
      strongest_.resize(kFeatures);
    }
    std::sort(strongest_.begin(), strongest_.end(), std::greater<>());
    double squares = 0;
    for (const auto& one : strongest_) squares += double{one.first} * one.first;
    const double length = std::max(std::sqrt(squares), 1e-30);
    for (const auto& [weight, feature] : strongest_) {
      numbers_.push_back(feature);
      weights_.push_back(static_cast<float>(weight / length));
    }
    begins_.push_back(numbers_.size());
  }

  template <class T>
  std::span<const T> of(const std::vector<T>& values, LocalDoc row) const {
    return std::span(values).subspan(begins_[row], begins_[row + 1] - begins_[row]);
  }

  std::size_t n_features_ = 0;
  std::vector<std::uint64_t> begins_{0};
  std::vector<std::uint32_t> numbers_;
  std::vector<float> weights_;
  std::vector<std::pair<float, std::uint32_t>> strongest_;
};

using Docs = std::span<LocalDoc>;

class Splitter {
 public:
  explicit Splitter(const Features& features)
      : features_(features), centroids_(features.n_features() * kMost, 0.0F) {}

  void split(Docs docs) {
    if (docs.size() <= kLeaf) return;
    const std::size_t n_parts = std::clamp<std::size_t>(docs.size() / kLeaf, 2, kMost);
    place_centroids(docs, n_parts);
    labels_.resize(docs.size());
    for (std::size_t i = 0; i < docs.size(); ++i) labels_[i] = nearest(docs[i], n_parts);
    clear_centroids();
    const auto ends = group(docs);
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      if (end - begin < docs.size()) split(docs.subspan(begin, end - begin));  // else all are alike
      begin = end;
    }
  }

 private:
  void place_centroids(Docs docs, std::size_t n_parts) {
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
      centroids_[numbers[i] * kMost + part] += weights[i];
      touched_.push_back(numbers[i]);
    }
  }

  void normalise(std::size_t n_parts) {
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    std::array<double, kMost> squares{};
    for (const std::uint32_t feature : touched_)
      for (std::size_t part = 0; part < n_parts; ++part) {
        const double value = centroids_[feature * kMost + part];
        squares[part] += value * value;
      }
    std::array<float, kMost> factor{};
    for (std::size_t part = 0; part < n_parts; ++part)
      factor[part] = static_cast<float>(1 / std::max(std::sqrt(squares[part]), 1e-30));
    for (const std::uint32_t feature : touched_)
      for (std::size_t part = 0; part < n_parts; ++part)
        centroids_[feature * kMost + part] *= factor[part];
  }

  void clear_centroids() {
    for (const std::uint32_t feature : touched_)
      std::fill_n(centroids_.begin() + static_cast<std::ptrdiff_t>(feature * kMost), kMost, 0.0F);
    touched_.clear();
  }

  std::uint8_t nearest(LocalDoc doc, std::size_t n_parts) const {
    const auto numbers = features_.numbers(doc);
    float products[kMost];
    kernels().centroid_products(numbers.data(), features_.weights(doc).data(), numbers.size(),
                                centroids_.data(), products);
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
  std::vector<float> centroids_;         // [feature][part], all zero between splits
  std::vector<std::uint32_t> touched_;   // features whose centroids are not all zero
  std::vector<std::uint8_t> labels_;
};

}  // namespace

std::vector<LocalDoc> similarity_order(const OrdinalRows& rows, std::size_t n_terms) {
  std::vector<LocalDoc> order(rows.n_rows());
  std::iota(order.begin(), order.end(), LocalDoc{0});
  const Features features(rows, n_terms);
  Splitter(features).split(order);
  return order;
}

}  // namespace sir
