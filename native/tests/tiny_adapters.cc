#include "tiny_adapters.h"

#include <algorithm>

namespace pennyweight::test {

namespace {

std::span<const uint8_t> bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), 4 * values.size()};
}

const PackedMatrix* matrix(const Layer& layer, Role role) {
  const MatrixPointer* matrices[] = {&layer.query, &layer.key, &layer.value, &layer.output,
                                     &layer.gate,  &layer.up,  &layer.down};
  return matrices[static_cast<int>(role)]->get();
}

}  // namespace

LowRankPointer random_low_rank(Random& random, int rows, int columns, int rank) {
  const std::vector<float> down = random.floats(static_cast<size_t>(rank) * columns, 0x1p-3F);
  const std::vector<float> up = random.floats(static_cast<size_t>(rows) * rank, 0x1p-6F);
  return std::make_shared<LowRank>(bytes_of(down), bytes_of(up), Format::kF32, rank, 2.0F, std::span<const int>());
}

AdapterPointer random_adapter(Random& random, const std::shared_ptr<const Model>& model, int rank,
                              std::span<const Role> roles) {
  std::vector<AdapterLayer> layers(model->layers.size());
  for (size_t i = 0; i < layers.size(); ++i)
    for (const Role role : roles) {
      const PackedMatrix* m = matrix(*model->layers[i], role);
      layers[i][static_cast<int>(role)] = random_low_rank(random, m->rows(), m->columns(), rank);
    }
  return std::make_shared<Adapter>(model, std::move(layers));
}

}  // namespace pennyweight::test
