// Runs llama.cpp's Vulkan backend, by node-llama-cpp, for compare.py: a request a line on stdin, a figure a line on stdout.
//
// A request is {"prompt": P, "generate": G, "depth": D}, as llama-bench has them: with a cache that holds D tokens, the time of
// P prompt tokens in batches of at most 512 (if P > 0), or of G tokens generated one by one. Tokenising is not in it; greedy
// sampling of one token a step is.

import readline from "node:readline";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const [modelPath, contextSize, flashAttention] = process.argv.slice(2);
const llama = await getLlama({gpu: "vulkan", build: "never", logLevel: LlamaLogLevel.error, vramPadding: 0});
// node-llama-cpp would decide by the free memory, which a software adapter does not tell.
const model = await llama.loadModel({modelPath, gpuLayers: "max", ignoreMemorySafetyChecks: true});
const context = await model.createContext({
    contextSize: Number(contextSize), batchSize: 512, ignoreMemorySafetyChecks: true,
    flashAttention: flashAttention === "auto" ? "auto" : flashAttention === "on",
});
const sequence = context.getSequence();

/** Token ids that no text needs to make sense of. */
const tokens = (count) => Array.from({length: count}, (_, i) => 1000 + (i * 7919) % 20000);

async function measure({prompt, generate, depth}) {
    await sequence.clearHistory();
    if (depth > 0)
        await sequence.evaluateWithoutGeneratingNewTokens(tokens(depth));
    const start = performance.now();
    if (prompt > 0) {
        await sequence.evaluateWithoutGeneratingNewTokens(tokens(prompt));
    } else {
        let generated = 0;
        for await (const _ of sequence.evaluate(tokens(1), {temperature: 0, yieldEogToken: true})) {
            if (++generated === generate)
                break;
        }
    }
    return 1000 * (prompt > 0 ? prompt : generate) / (performance.now() - start);
}

console.log(JSON.stringify({devices: await llama.getGpuDeviceNames(), release: llama.llamaCppRelease.release}));
for await (const line of readline.createInterface({input: process.stdin}))
    console.log(JSON.stringify({tokens_per_second: await measure(JSON.parse(line))}));
process.exit(0);
