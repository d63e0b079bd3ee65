/** What apps import. */
export { Config, ConfigError, parseConfig, VpcPlace, WriterAccount } from './config';
export { contract, encodePart } from './contract';
export { Profiled, ProfiledAppProps, ProfiledProps } from './profiled';
export { FlambeauStack } from './stack';
