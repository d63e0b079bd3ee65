/** Answers to rules of cdk-nag, given beside the resource they are about. */
import { Stack, Validations } from 'aws-cdk-lib';
import { IConstruct } from 'constructs';

/** Says why a rule does not hold here. Ids as cdk-nag prints them. */
export function acknowledge(about: IConstruct, reasons: Record<string, string>): void {
  for (const [id, reason] of Object.entries(reasons)) Validations.of(about).acknowledge({ id, reason });
}

/**
 * Answers the rule against wildcards for these ARNs, and for no others: each names
 * the objects below one prefix. A wildcard among actions stays forbidden.
 */
export function acknowledgeWildcards(about: IConstruct, arns: string[]): void {
  const wide = arns.map((arn) => flat(Stack.of(about).resolve(arn))).filter((arn) => arn.includes('*'));
  const reason = 'The wildcard stands for names below one prefix; a test lists every permission';
  acknowledge(about, Object.fromEntries(wide.map((arn) => [`AwsSolutions::AwsSolutions-IAM5[Resource::${arn}]`, reason])));
}

/** An ARN as cdk-nag prints it: references in angle brackets. */
function flat(arn: unknown): string {
  if (typeof arn === 'string') return arn;
  const { Ref, 'Fn::GetAtt': att, 'Fn::Join': join } = arn as Record<string, any>;
  if (Ref) return `<${Ref}>`;
  if (att) return `<${att.join('.')}>`;
  return join[1].map(flat).join(join[0]);
}
