// Forces of every Monte Carlo sample: dE_s/dD of each pair from the pair's derivative block and the sample's dE/dG.

void sample_pair_forces(const Plan& plan, const PairList& pairs, const NetworkPlan& networks, const SampleForceTask& task,
                        std::int64_t begin, std::int64_t end) {
    Buffer<double> block_memory, gradient_memory;
    const int samples = networks.n_samples;
    Task jacobian;
    jacobian.sweep = Sweep::jacobian;
    jacobian.blocks_double = true;
    jacobian.block_offsets = task.block_offsets;
    Kernel<double> kernel(plan, pairs, jacobian);
    for (std::int64_t i = begin; i < end; ++i) {
        const ElementPlan& element = plan.elements[pairs.types[i]];
        const Layer& layer = networks.elements[pairs.types[i]][0];
        const std::int64_t first = pairs.first[i], last = pairs.first[i + 1], offset = task.block_offsets[first];
        double* blocks = block_memory.get(std::size_t(task.block_offsets[last] - offset) + 8);
        jacobian.blocks = blocks - offset;
        kernel.run(i, i + 1);

        // dE_s/dG (unscaled functions), samples contiguous
        double* gradient = gradient_memory.get(std::size_t(plan.width) * samples);
        const double* delta = task.delta + i * networks.first_layer * samples;
        for (int u = 0; u < element.n_functions; ++u) {
            double* __restrict out = gradient + u * samples;
            for (int s = 0; s < samples; ++s) out[s] = 0.0;
            for (int o = 0; o < layer.n_out; ++o) {
                const double w = layer.weights[u * layer.n_out + o] * task.factors[pairs.types[i] * plan.width + u];
                const double* __restrict in = delta + o * samples;
                for (int s = 0; s < samples; ++s) out[s] += w * in[s];
            }
            if (!layer.masks.empty())
                for (int s = 0; s < samples; ++s) out[s] *= layer.masks[u * samples + s];
        }
        for (std::int64_t p = first; p < last; ++p) {
            const auto& columns = element.sensitive[pairs.types[pairs.neighbors[p]]];
            const int n = int(columns.size());
            const double* block = blocks + (task.block_offsets[p] - offset);
            for (int c = 0; c < 3; ++c) {
                double* __restrict out = task.pair_forces + ((p - task.first_pair) * 3 + c) * samples;
                for (int s = 0; s < samples; ++s) out[s] = 0.0;
                for (int u = 0; u < n; ++u) {
                    const double d = block[c * n + u];
                    const double* __restrict in = gradient + columns[u] * samples;
                    for (int s = 0; s < samples; ++s) out[s] += d * in[s];
                }
            }
        }
    }
}
